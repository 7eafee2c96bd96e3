"""A lock is held by an open file and falls with its last holder, however that one dies.

Locks are flock(2) locks: they know no process ids, so nothing about them can be stale, and a child that inherits
the open file holds the lock on, on Linux and on macOS alike.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

POLL_SECONDS = 0.02


class FileLock:
    """One open file description on `path`. It holds nothing until it is asked to."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take_alone(self) -> bool:
        """True when nobody else holds the lock in any way, and we do now."""
        return self._take(fcntl.LOCK_EX)

    def take_shared(self) -> bool:
        """True when nobody holds the lock alone, and we share it now."""
        return self._take(fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of our own hold, once; a child that inherited the file keeps its."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _take(self, mode: int) -> bool:
        try:
            fcntl.flock(self.fd, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def opened(path: Path) -> Generator[FileLock]:
    lock = FileLock(path)
    try:
        yield lock
    finally:
        lock.close()


@contextlib.asynccontextmanager
async def alone(path: Path, give_up_after: float) -> AsyncGenerator[FileLock]:
    """Hold `path` alone; `TimeoutError` when the others do not let go within so many seconds."""
    with opened(path) as lock:
        async with asyncio.timeout(give_up_after):
            while not lock.take_alone():  # noqa: ASYNC110 - a flock has no event
                await asyncio.sleep(POLL_SECONDS)
        yield lock


def is_held(path: Path) -> bool:
    """Whether any living process holds `path` alone. Those who only ask do not disturb one another."""
    with opened(path) as lock:
        return not lock.take_shared()
