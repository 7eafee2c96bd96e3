"""The run's own PostgreSQL: killed as the kernel would kill it, and started again in the same folder."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from atelier.kit.postgres import EmbeddedPostgres, locks, pidfile

GONE_SECONDS = 30.0


@dataclass(slots=True)
class Postgres:
    """`url` leads to it directly, by its Unix socket."""

    folder: Path
    url: str

    async def kill(self) -> None:
        """As `kill -9` does; returns when the last of its processes is gone."""
        found = pidfile.read(self.folder / "data")
        if found is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)
        async with asyncio.timeout(GONE_SECONDS):
            while self.lives():  # noqa: ASYNC110 - a process of somebody else has no event
                await asyncio.sleep(0.02)

    async def again(self) -> None:
        """Start it anew; returns when it has recovered."""
        share = await EmbeddedPostgres.start(self.folder)
        await share.leave()

    def lives(self) -> bool:
        lock = self.folder / "server.lock"
        return lock.exists() and locks.is_held(lock)


@contextlib.asynccontextmanager
async def postgres(folder: Path) -> AsyncGenerator[Postgres]:
    """A server in this folder, which every user must be able to enter; it is stopped at the end."""
    share = await EmbeddedPostgres.start(folder)
    server = Postgres(share.folder, share.url)
    try:
        yield server
    finally:
        if not server.lives():
            await server.again()
        await share.leave()
