"""A file placed on a server, and the multipart body that places it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

SLOWEST = 64 * 1024
"""Bytes per second below which sending bytes counts as stuck."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """Where the server put it: the name can differ from the one that was asked for."""

    name: str
    subfolder: str
    type: str

    @property
    def reference(self) -> str:
        """What a loader node's input says: `sub/name`, with ` [type]` behind it outside the input folder."""
        path = f"{self.subfolder}/{self.name}" if self.subfolder else self.name
        return path if self.type == "input" else f"{path} [{self.type}]"


@dataclass(frozen=True, slots=True)
class Part:
    """A file to be sent as multipart, with the plain fields beside it."""

    name: str
    content: bytes | AsyncIterator[bytes]
    content_type: str
    fields: Mapping[str, str]
    _failures: list[Exception] = field(default_factory=list[Exception], init=False)

    def extra_seconds(self) -> float:
        """How much longer than one idle time the writing may take, where nobody can watch its progress."""
        return len(self.content) / SLOWEST if isinstance(self.content, bytes) else 0.0

    def form(self, touch: Callable[[], None]) -> aiohttp.FormData:
        """The multipart body; `touch` is called for every piece that an iterator yields.

        The name goes out as a browser sends it, in plain UTF-8: a server stores a quoted one as it is spelled.
        """
        content = self.content if isinstance(self.content, bytes) else self._touching(self.content, touch)
        data = aiohttp.FormData(quote_fields=False)
        data.add_field("image", content, filename=printable(self.name), content_type=self.content_type)
        for name, value in self.fields.items():
            data.add_field(name, value)
        return data

    def raise_own_failure(self) -> None:
        """Raise what the iterator of the content raised: aiohttp calls that a broken connection."""
        for failure in self._failures:
            raise failure

    async def _touching(self, content: AsyncIterator[bytes], touch: Callable[[], None]) -> AsyncGenerator[bytes]:
        try:
            async for piece in content:
                touch()
                yield piece
        except Exception as failure:
            self._failures.append(failure)
            raise


def printable(name: str) -> str:
    """The name without what could end a header, or that UTF-8 cannot spell."""
    return "".join(letter if letter.isprintable() else "_" for letter in name)


def parse_upload(reply: Mapping[str, Any]) -> UploadedFile | None:
    match reply:
        case {"name": str() as name, **rest} if name:
            subfolder, kind = rest.get("subfolder"), rest.get("type")
            return UploadedFile(
                name,
                subfolder.replace("\\", "/") if isinstance(subfolder, str) else "",
                kind if isinstance(kind, str) and kind else "input",
            )
        case _:
            return None
