"""What every storage promises: a reader sees all of a key's bytes or no key, also when the writer is killed."""

import datetime as dt
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.http.ranges import Slice

Content = bytes | AsyncIterator[bytes]

CHUNK_BYTES = 1024 * 1024
"""How much of a body is held at a time, reading and writing."""


@dataclass(frozen=True, slots=True)
class Body:
    """An open answer: `size` bytes will come out of `chunks`, of the `total` that the key holds."""

    size: int
    total: int
    chunks: AsyncIterator[bytes]


class ContentMissing(NotFound):
    """The record is there, its bytes are not."""

    code = "output_unavailable"


class StorageUnavailable(Refusal):
    """The storage cannot do it now; asking again may help."""

    kind = Kind.UNAVAILABLE
    code = "storage_unavailable"

    @classmethod
    def because(cls, error: OSError) -> "StorageUnavailable":
        """In words that name no path of the operator's machine."""
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return cls("The file storage is full; the operator has to make room.", retry_after=60)
        return cls(f"The file storage does not work now ({error.strerror}).", retry_after=30)


class Storage(Protocol):
    """Bytes under keys. All raise StorageUnavailable where the folder or the bucket fails."""

    @property
    def spool(self) -> Path:
        """A local folder for bytes that are still arriving; where it can, one that `adopt` moves from for free."""
        ...

    async def put(self, key: str, content: Content, *, content_type: str, filename: str | None = None) -> None:
        """Write the key whole, or, when the chunks raise or the caller is cancelled, not at all."""
        ...

    async def adopt(self, key: str, file: Path, *, content_type: str, filename: str | None = None) -> None:
        """Write the key from a finished local file, which is gone afterwards."""
        ...

    async def get(self, key: str, part: Slice | None = None) -> Body:
        """Open the key, or a part of it, for reading. Raises ContentMissing."""
        ...

    async def head(self, key: str) -> int | None:
        """The size in bytes of what the key holds, or None."""
        ...

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """Remove the key; removing what is not there is fine."""
        ...

    async def public_url(self, key: str, *, ttl: dt.timedelta) -> str | None:
        """An address that serves the key to anyone for `ttl`, or None where the storage has no such thing."""
        ...
