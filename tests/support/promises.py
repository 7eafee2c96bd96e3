"""What is true of every accepted job once all have ended, whatever happened on the way."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any, LiteralString

import aiohttp

from atelier.kit.database import Database

SETTLED = {"succeeded": "captured", "failed": "released", "canceled": "released", "expired": "released"}


async def rows(database: Database, query: LiteralString) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        return await (await tx.execute(query)).fetchall()


async def assert_promises(database: Database, count: int, *, states: Collection[str] = ("succeeded",)) -> None:
    """`count` jobs ended in one of `states`: once, charged at most once, with outputs or a refund."""
    jobs = {row[0]: row[1:] for row in await rows(database, "SELECT id, state, event_seq, error FROM jobs")}
    assert len(jobs) == count
    assert {state for state, _, _ in jobs.values()} <= set(states), jobs
    await _assert_one_end(database, {job_id: seq for job_id, (_, seq, _) in jobs.items()})
    holds = dict(await rows(database, "SELECT job_id, state FROM holds WHERE captured <= amount"))
    assert holds == {job_id: SETTLED[state] for job_id, (state, _, _) in jobs.items()}
    good = {job_id for job_id, (state, _, _) in jobs.items() if state == "succeeded"}
    outputs = Counter(job_id for (job_id,) in await rows(database, "SELECT job_id FROM outputs"))
    assert outputs == dict.fromkeys(good, 1)
    tried = await rows(database, "SELECT job_id FROM attempts WHERE outcome = 'succeeded'")
    assert Counter(job_id for (job_id,) in tried) == dict.fromkeys(good, 1)
    assert await rows(database, "SELECT 1 FROM attempts WHERE state <> 'ended'") == []


async def _assert_one_end(database: Database, last: dict[Any, int]) -> None:
    """Events are numbered without a gap, and the one that ends the job is the last of them."""
    told: dict[Any, list[tuple[int, bool]]] = {job_id: [] for job_id in last}
    for job_id, seq, terminal in await rows(
        database, "SELECT job_id, seq, terminal FROM job_events ORDER BY job_id, seq"
    ):
        told[job_id].append((seq, terminal))
    for job_id, events in told.items():
        assert events == [(seq, seq == last[job_id]) for seq in range(1, last[job_id] + 1)]


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
