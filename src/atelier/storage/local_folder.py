"""A folder as storage: files are written aside and moved into place, so a key is whole or not there.

Plain file calls rather than obstore's LocalStore: that one costs 1.3 ms to read a 300 KB file where one read
costs 0.1 ms, cannot sync, and cannot take a finished file by moving it.
"""

import datetime as dt
import errno
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from atelier.kit.errors import SetupFailed
from atelier.kit.http.ranges import Slice
from atelier.storage.model import CHUNK_BYTES, Body, Content, ContentMissing, StorageUnavailable
from atelier.storage.threads import in_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SPOOL = ".incoming"
_KEY = re.compile(r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*)*")


class LocalFolder:
    """Keys are files below `folder`, which is made (mode 0700) when it is not there.

    The kernel writes back on its own time: a killed process loses nothing, a power cut may lose the files of the
    last seconds, which then read as missing. With `sync` a put waits for the disk: measured 8 ms (p99 38) instead
    of 0.4 ms for 300 KB.
    """

    def __init__(self, folder: Path, *, sync: bool = False) -> None:
        self._folder = folder.absolute()
        self._sync = sync
        self._spool = self._folder / SPOOL
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._spool.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SetupFailed(
                f"The storage folder {folder} cannot be used ({error.strerror}); name one that may be written."
            ) from error

    @property
    def spool(self) -> Path:
        return self._spool

    async def put(self, key: str, content: Content, *, content_type: str, filename: str | None = None) -> None:
        """The folder keeps bytes only: type and name are served from the record."""
        del content_type, filename
        aside, target = self._spool / uuid.uuid4().hex, self._path(key)
        try:
            if isinstance(content, bytes):
                await self._do(key, _write_whole, aside, content, target, self._sync)
            else:
                await self._append(key, aside, content)
                await self._do(key, _move, aside, target, self._sync)
        finally:
            aside.unlink(missing_ok=True)

    async def adopt(self, key: str, file: Path, *, content_type: str, filename: str | None = None) -> None:
        del content_type, filename
        await self._do(key, _move, file, self._path(key), self._sync)

    async def get(self, key: str, part: Slice | None = None) -> Body:
        """Nothing stays open between two chunks: a reader that goes away leaves nothing behind."""
        total, wanted, first = await self._do(key, _open, self._path(key), part)
        return Body(wanted.stop - wanted.start, total, self._chunks(key, first, wanted))

    async def head(self, key: str) -> int | None:
        try:
            return await self._do(key, _size, self._path(key))
        except ContentMissing:
            return None

    async def exists(self, key: str) -> bool:
        return await self.head(key) is not None

    async def delete(self, key: str) -> None:
        await self._do(key, _remove, self._path(key))

    async def public_url(self, key: str, *, ttl: dt.timedelta) -> str | None:
        """A folder has no address of its own: Atelier serves it under signed links."""
        del key, ttl
        return None

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a storage key: {key!r}")
        return self._folder / key

    async def _append(self, key: str, aside: Path, content: AsyncIterator[bytes]) -> None:
        await self._do(key, _append, aside, b"")
        async for chunk in content:
            await self._do(key, _append, aside, chunk)

    async def _chunks(self, key: str, first: bytes, part: Slice) -> AsyncIterator[bytes]:
        path, position = self._path(key), part.start + len(first)
        if first:
            yield first
        while position < part.stop:
            chunk = await self._do(key, _read, path, position, min(part.stop, position + CHUNK_BYTES))
            position += len(chunk)
            yield chunk

    async def _do(self, key: str, work: Callable[[*Ts], T], *args: *Ts) -> T:
        try:
            return await in_thread(work, *args)
        except FileNotFoundError as error:
            raise ContentMissing(f"The bytes of {key} are not in the storage folder any more.") from error
        except OSError as error:
            raise StorageUnavailable.because(error) from error


def _size(path: Path) -> int:
    return path.stat().st_size


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _open(path: Path, part: Slice | None) -> tuple[int, Slice, bytes]:
    total = _size(path)
    part = part or Slice(0, total)
    return total, part, _read(path, part.start, min(part.stop, part.start + CHUNK_BYTES))


def _read(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        chunk = os.pread(file.fileno(), stop - start, start)
    if len(chunk) == 0 and start < stop:
        raise FileNotFoundError(errno.ENOENT, "the file became shorter", str(path))
    return chunk


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)


def _write_whole(aside: Path, content: bytes, target: Path, sync: bool) -> None:  # noqa: FBT001 - runs in a thread
    aside.write_bytes(content)
    _move(aside, target, sync)


def _move(aside: Path, target: Path, sync: bool) -> None:  # noqa: FBT001 - runs in a thread, by position
    """Give the bytes their name; with `sync` the bytes are on the disk before, and their name after."""
    if sync:
        _sync(aside)
    try:
        aside.replace(target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(target)
    if sync:
        _sync(target.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
