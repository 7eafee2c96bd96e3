"""Processes with workers, and what can be seen of their tasks in the database."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import atelier
from atelier.kit.database import Database
from atelier.tasks import Tasks, defer

PROGRAM = Path(__file__).parent / "tasks_worker.py"
SOURCES = Path(atelier.__file__).parent.parent
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """A database with the tasks of the worker processes."""

    database: Database

    async def ask(self, question: str, *values: object) -> list[str]:
        """The first column of every row, as text."""
        async with self.database.autocommit() as tx:
            rows = await (await tx.execute(question.encode(), values)).fetchall()
        return [str(value) for (value, *_) in rows]

    async def tell(self, statement: str, *values: object) -> None:
        async with self.database.autocommit() as tx:
            await tx.execute(statement.encode(), values)

    async def defer(self, task: str, key: str, /, **arguments: Any) -> bool:
        async with self.database.transaction() as tx:
            return await defer(tx, task, key, **arguments)

    async def started(self, task: str) -> list[str]:
        """The names of the workers that started `task`, in that order."""
        return await self.ask("SELECT worker FROM starts WHERE task = %s ORDER BY id", task)

    async def statuses(self) -> list[str]:
        return await self.ask("SELECT status FROM procrastinate_jobs ORDER BY id")

    async def workers(self) -> list[str]:
        """How many workers are known."""
        return await self.ask("SELECT count(*) FROM procrastinate_workers")

    async def release(self, task: str, worker: str) -> None:
        """Let `task` end where it runs on `worker`."""
        await self.tell("INSERT INTO released (task, worker) VALUES (%s, %s)", task, worker)


@pytest.fixture
async def tasks_site(database: Database) -> Site:
    site = Site(database)
    await site.tell("CREATE TABLE starts (id serial, task text, worker text)")
    await site.tell("CREATE TABLE released (task text, worker text)")
    return site


async def until(expected: list[str], look: Callable[[], Awaitable[list[str]]]) -> None:
    """Wait until `look` sees `expected`."""
    seen: list[str] = []
    try:
        async with asyncio.timeout(SECONDS):
            while (seen := await look()) != expected:  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"expected {expected}, but it stays {seen}")


@contextlib.asynccontextmanager
async def worker(site: Site, name: str) -> AsyncGenerator[Process]:
    """A process with a worker; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, PROGRAM, site.database.url, name), env={"PYTHONPATH": str(SOURCES)}, stdin=DEVNULL
    )
    try:
        yield process
    finally:
        await kill(process)


async def kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    async with asyncio.timeout(SECONDS):
        await process.wait()


@contextlib.asynccontextmanager
async def running(tasks: Tasks) -> AsyncGenerator[None]:
    """A worker in this process, cancelled at the end."""
    async with asyncio.TaskGroup() as group:
        work = group.create_task(tasks.run())
        try:
            yield
        finally:
            work.cancel()
