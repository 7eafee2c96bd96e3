"""Bytes that still arrive wait outside the storage, hashed as they come, and leave no trace when they stop."""

import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from atelier.assets.content_types import HEAD_BYTES
from atelier.assets.model import Digest
from atelier.kit.errors import Kind, Refusal
from atelier.storage.model import StorageUnavailable
from atelier.storage.threads import in_thread

BLOCK_BYTES = 1024 * 1024
"""A file up to this size never touches the spool folder; a larger one is held in memory by this much."""


AT_ONCE_BYTES = 128 * 1024
"""Hashing so few bytes takes less time (0.05 ms) than handing them to a thread."""


class TooLarge(Refusal):
    """The bytes went past the limit; reading stopped there."""

    kind = Kind.TOO_LARGE
    code = "payload_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The file is larger than the {limit_bytes} bytes that are taken at once.",
            details={"limit_bytes": limit_bytes},
        )


@dataclass(frozen=True, slots=True)
class Spooled:
    """All of it has come. `content` is the bytes themselves, or the file that holds them."""

    hash: Digest
    size: int
    head: bytes
    content: bytes | Path


@contextlib.asynccontextmanager
async def spooled(folder: Path, chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncGenerator[Spooled]:
    """Take `chunks` in, at most `limit_bytes` of them; what the block left in the folder is removed at its end.

    Raises TooLarge, and whatever `chunks` raises.
    """
    sink = _Sink(folder / uuid.uuid4().hex)
    try:
        async for chunk in chunks:
            if sink.size + len(chunk) > limit_bytes:
                raise TooLarge(limit_bytes)
            await sink.add(chunk)
        yield await sink.finish()
    finally:
        sink.file.unlink(missing_ok=True)


async def hashed(content: bytes) -> Spooled:
    """Bytes that are here already."""
    digest = _digest(content) if len(content) <= AT_ONCE_BYTES else await in_thread(_digest, content)
    return Spooled(digest, len(content), content[:HEAD_BYTES], content)


class _Sink:
    """Blocks are hashed and appended in a thread; the file is open only while one is written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = 0
        self._head = b""
        self._waiting = bytearray()
        self._hasher = blake3()

    async def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._waiting += chunk
        if len(self._waiting) > BLOCK_BYTES:
            await self._flush()

    async def finish(self) -> Spooled:
        if self.size == len(self._waiting):
            return await hashed(bytes(self._waiting))
        await self._flush()
        return Spooled(Digest(self._hasher.digest()), self.size, self._head, self.file)

    async def _flush(self) -> None:
        block = bytes(self._waiting)
        self._waiting.clear()
        self._head = self._head or block[:HEAD_BYTES]
        try:
            await in_thread(self._append, block)
        except OSError as error:
            raise StorageUnavailable.because(error) from error

    def _append(self, block: bytes) -> None:
        self._hasher.update(block)
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write(block)


def _digest(content: bytes) -> Digest:
    return Digest(blake3(content).digest())
