"""A farm of servers and the product beside it: PostgreSQL, one API process, and dispatchers that come and go."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import aiohttp

from atelier.entry.settings import Settings
from atelier.entry.state import database
from atelier.kit.database import Database
from tools.bench import graphs, ground
from tools.bench.processes import Started, role
from tools.bench.through import Atelier, session

POSTERS = 16
ACCOUNTS = 4
END_SECONDS = 600.0


@dataclass(slots=True)
class Stage:
    """What stands while a fleet is measured. `servers` are the addresses of the farm."""

    folder: Path
    settings: Settings
    database: Database
    servers: Sequence[str]
    callers: Sequence[Atelier]
    _names: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @contextlib.asynccontextmanager
    async def dispatcher(self, **settings: str) -> AsyncGenerator[Started]:
        """One more, with a name of its own."""
        name = f"dispatcher-{next(self._names)}"
        words = ("dispatch", "--state", str(self.settings.state_dir))
        log = self.folder / f"{name}.log"
        async with role(*words, settings={"dispatcher_name": name, **settings}, log=log) as started:
            yield started

    async def submit(self, count: int) -> None:
        """So many jobs of one step each, of all accounts in turn; nobody follows them."""
        numbers = iter(range(count))

        async def poster() -> None:
            for number in numbers:
                await self.callers[number % len(self.callers)].submit(graphs.small())

        async with asyncio.TaskGroup() as group:
            for _ in range(POSTERS):
                group.create_task(poster())

    async def ended(self) -> int:
        """Wait until no job is left; gives how many of all that ever were ended otherwise than succeeded."""
        await until(self._nothing_left)
        return await self.count("SELECT count(*) FROM jobs WHERE state <> 'succeeded'")

    async def _nothing_left(self) -> bool:
        return await self.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == 0

    async def count(self, query: LiteralString) -> int:
        """The number that this asks for."""
        return int((await self.rows(query))[0][0])

    async def rows(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        async with self.database.autocommit() as connection:
            return await (await connection.execute(query, values)).fetchall()


@contextlib.asynccontextmanager
async def staged(
    folder: Path, servers: int, step_seconds: float, *, known: int | None = None
) -> AsyncGenerator[Stage]:
    """Everything but a dispatcher; `known` of the servers (all, if not said) are in the fleet."""
    settings = ground.settings_of(folder / "state")
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings, lambda _: None))
        urls = await stack.enter_async_context(farmed(folder / "farm", servers, step_seconds))
        await ground.register(opened, urls[:known])
        api = await stack.enter_async_context(
            role("serve", "--port", "0", "--state", str(settings.state_dir), log=folder / "api.log")
        )
        http = await stack.enter_async_context(session())
        callers = [Atelier(http, api.url, key) for key in await ground.keys(opened, settings, ACCOUNTS)]
        yield Stage(folder, settings, opened, urls, callers)


@contextlib.asynccontextmanager
async def farmed(folder: Path, servers: int, step_seconds: float) -> AsyncGenerator[list[str]]:
    words = (str(servers), str(folder), str(step_seconds))
    async with role(*words, module="tools.bench.fleet.farm") as started:
        yield started.url.split(",")


async def directly(urls: Sequence[str], jobs: int) -> None:
    """`jobs` of one step on each server, asked of it directly and all at once: its own queue is never empty."""
    async with session() as http:
        async with asyncio.TaskGroup() as group:
            for url in urls:
                group.create_task(_fill(http, url, jobs))

        async def empty() -> bool:
            return not any([await _remaining(http, url) for url in urls])

        await until(empty)


async def until(ask: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so; of other processes there is no event."""
    async with asyncio.timeout(END_SECONDS):
        while not await ask():  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.1)


async def _fill(http: aiohttp.ClientSession, url: str, jobs: int) -> None:
    for _ in range(jobs):
        async with http.post(f"{url}/prompt", json={"prompt": graphs.small()}) as answer:
            answer.raise_for_status()


async def _remaining(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(f"{url}/prompt") as answer:
        return int((await answer.json())["exec_info"]["queue_remaining"])


def now() -> float:
    """Seconds of the clock that servers stamp their messages with: all run on this machine."""
    return time.time()
