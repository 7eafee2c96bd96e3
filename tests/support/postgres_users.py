"""Processes that share an embedded server, and what can be seen of that server from outside."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

import atelier
from atelier.kit.postgres import locks, pidfile

PROGRAM = Path(__file__).parent / "postgres_user.py"
SOURCES = Path(atelier.__file__).parent.parent
SECONDS = 60.0


@dataclass(slots=True)
class User:
    """A process that uses the server of a folder."""

    process: Process
    url: str = ""
    refused: str = ""
    said: list[str] = field(default_factory=list[str])

    async def answered(self) -> "User":
        """Wait until it has its URL or was refused."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while not self.url and not self.refused:
                line = (await self.process.stdout.readline()).decode()
                assert line, "the process ended without an answer"
                self._hear(*line.rstrip().split(" ", 1))
        return self

    async def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(SECONDS):
            assert await self.process.wait() == 0

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        async with asyncio.timeout(SECONDS):
            await self.process.communicate()

    def _hear(self, kind: str, words: str) -> None:
        match kind:
            case "url":
                self.url = words
            case "refused":
                self.refused = words
            case _:
                self.said.append(words)


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with an embedded server in it, seen from outside."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def pid(self) -> int:
        found = pidfile.read(self.data)
        assert found is not None
        return found.pid

    def lives(self) -> bool:
        lock = self.folder / "server.lock"
        return lock.exists() and locks.is_held(lock)

    async def gone(self) -> None:
        async with asyncio.timeout(SECONDS):
            while self.lives():  # noqa: ASYNC110 - a process of somebody else has no event
                await asyncio.sleep(0.02)

    async def crash(self) -> None:
        """Kill the server as the kernel would, and wait until its last process is gone."""
        os.kill(self.pid(), signal.SIGKILL)
        await self.gone()


@pytest.fixture
def site() -> Generator[Site]:
    """A folder that every user can enter, with a short path. A server that is left in it is killed."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    site = Site(folder / "server")
    try:
        yield site
    finally:
        end(site)
        shutil.rmtree(folder)


def end(site: Site) -> None:
    if site.lives():
        os.kill(site.pid(), signal.SIGQUIT)


@contextlib.asynccontextmanager
async def using(
    site: Site,
    *,
    keep: bool = False,
    before: Sequence[str] = (),
    uid: int = 0,
    environment: Mapping[str, str] | None = None,
    fallback: Path = Path("/nowhere"),
) -> AsyncGenerator[User]:
    """A process that uses the server of `site`, started with `before` in front of its command, as user `uid`."""
    process = await asyncio.create_subprocess_exec(
        *before,
        *(sys.executable, "-B", PROGRAM, site.folder, "keep" if keep else "stop", fallback, str(uid)),
        stdin=PIPE,
        stdout=PIPE,
        env={"PYTHONPATH": str(SOURCES), **(environment or {})},
    )
    user = User(process)
    try:
        yield user
    finally:
        await user.kill()


async def ask(url: str, question: str) -> str:
    """The first column of the first row, as text."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        row = await (await connection.execute(question.encode())).fetchone()
    return "" if row is None else str(row[0])


async def tell(url: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        for statement in statements:
            await connection.execute(statement.encode())
