"""An upload's form is read as it comes, its parts in any order; of its files one is taken, of its fields a few."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from atelier.assets.parts import MalformedUpload, Parts

FIELD_BYTES = 16 * 1024
MOST_PARTS = 64

FIELDS = frozenset({"overwrite", "subfolder", "type", "original_ref"})

File = TypeVar("File")
Take = Callable[[AsyncIterator[bytes]], Awaitable[File]]


@dataclass(frozen=True, slots=True)
class Form(Generic[File]):
    """What came; of a field or a file that came twice, the first."""

    filename: str
    file: File
    fields: dict[str, str]

    @property
    def overwrite(self) -> bool:
        return self.fields.get("overwrite") in {"true", "1"}


async def read_form(content_type: str | None, body: AsyncIterator[bytes], take: Take[File]) -> Form[File] | None:
    """Read all of it; `take` gets the bytes of the part `image` and reads them to their end.

    None for a form without such a file, or whose file has no name. Raises MalformedUpload and what `take` raises.
    """
    parts = Parts(content_type, body)
    fields: dict[str, str] = {}
    found: tuple[str, File] | None = None
    for _ in range(MOST_PARTS):
        begin = await parts.begin()
        if begin is None:
            return Form(*found, fields) if found else None
        if begin.name == "image" and begin.filename and found is None:
            found = begin.filename, await take(parts.data())
        elif begin.name in FIELDS and begin.filename is None:
            fields.setdefault(begin.name, await _text(parts, begin.name))
        else:
            await parts.skip()
    raise MalformedUpload(f"The form has more than {MOST_PARTS} parts.")


async def _text(parts: Parts, name: str) -> str:
    text = await parts.text(FIELD_BYTES)
    if text is None:
        raise MalformedUpload(f"The field {name} is longer than {FIELD_BYTES} bytes.")
    return text
