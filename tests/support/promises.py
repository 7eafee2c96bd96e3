"""What is true of every accepted job once all have ended, whatever happened on the way."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any, LiteralString

import aiohttp

from atelier.kit.database import Database
from tools.chaos import facts, promises


async def rows(database: Database, query: LiteralString) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        return await (await tx.execute(query)).fetchall()


async def assert_promises(database: Database, count: int, *, states: Collection[str] = ("succeeded",)) -> None:
    """`count` jobs ended in one of `states`: once, charged at most once, with outputs or a refund."""
    found = await facts.read(database)
    assert len(found.jobs) == count
    assert {job.state for job in found.jobs} <= set(states), found.jobs
    assert promises.of_the_database(found) == []


async def assert_nothing_drawn_twice(http: aiohttp.ClientSession, *urls: str) -> None:
    """No two runs on these simulated servers drew the same picture; each job of the test asks for another one."""
    drawn = Counter[str]()
    for url in urls:
        shown = await control(http, url)
        assert set(shown["executions"].values()) <= {1}
        drawn.update(one["digest"] for one in shown["drawn"])
    assert set(drawn.values()) <= {1}, "a server that lived drew a picture twice"


async def control(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """What a simulated server with open faults says of itself."""
    async with http.get(f"{url}/control/state") as reply:
        shown: dict[str, Any] = await reply.json()
        return shown


async def eventually(ask: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Until it is so, which is soon; of processes of somebody else there is no event."""
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.05)


async def assert_empties(http: aiohttp.ClientSession, url: str) -> None:
    """The server's queue empties itself."""

    async def empty() -> bool:
        return int((await control(http, url))["queue_remaining"]) == 0

    await eventually(empty)
