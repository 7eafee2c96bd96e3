"""A hundred servers are no more trouble than one, and dispatchers that come and go share them without a loss."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

import aiohttp
import pytest

from atelier.dispatch.dispatcher import Dispatcher
from atelier.dispatch.model import DispatchSettings
from atelier.fleet import service as fleet
from atelier.simulator.config import SimulatorConfig
from support.comfy_standin import closed_url
from support.farm import farm
from support.fleet import Ground, picture, sampled
from support.promises import assert_promises, rows

MANY = 100
CALM = DispatchSettings(heartbeat=2.0, expiry=20.0, hold=15.0, lost_after=10.0, drain=0.0)
"""A machine that runs tests of others, too, may be slow; nobody is to be taken for dead."""


@pytest.fixture
async def crowd(ground: Ground) -> AsyncGenerator[Ground]:
    """As many connections as are needed: that is how dispatchers are made (entry.roles)."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        ground.http = http
        yield ground


async def add(ground: Ground, urls: Sequence[str], name: str = "sim") -> None:
    async with ground.database.transaction() as tx:
        for number, url in enumerate(urls):
            await fleet.add(tx, url, server_id=f"{name}-{number:03}")
    ground.wakeups.publish("fleet")


async def held(ground: Ground, which: str = "%") -> Mapping[str, int]:
    """How many of these servers each dispatcher holds, by its name."""
    found = await rows(
        ground.database,
        "SELECT l.server_id, coalesce(d.name, '') FROM leases l LEFT JOIN dispatchers d ON d.id = l.dispatcher_id",
    )
    names = [name for server_id, name in found if server_id.startswith(which.rstrip("%"))]
    return {name: names.count(name) for name in sorted(set(names))}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is true, a minute at most."""
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110 - the condition lies in the database
            await asyncio.sleep(0.1)


async def shared(ground: Ground, wanted: Mapping[str, int], which: str = "%") -> None:
    async def so() -> bool:
        return await held(ground, which) == wanted

    await until(so)


def dispatcher(ground: Ground, name: str) -> Dispatcher:
    return ground.dispatcher(CALM, name=name)


async def test_one_dispatcher_drives_a_hundred_servers(crowd: Ground) -> None:
    async with farm(MANY) as urls:
        await add(crowd, urls)
        crowd.tasks.start(dispatcher(crowd, "one").run())

        async def ready() -> bool:
            return await rows(crowd.database, "SELECT count(*) FROM servers WHERE health = 'ready'") == [(MANY,)]

        await until(ready)
        jobs = [await crowd.submit(picture(color)) for color in range(2 * MANY)]
        for job in jobs:
            await crowd.ended(job.id, 60)

        await assert_promises(crowd.database, len(jobs))
        assert await rows(crowd.database, "SELECT count(*) FROM inventories") == [(1,)]
        assert await rows(crowd.database, "SELECT count(*) FROM attempts") == [(len(jobs),)]


async def test_three_dispatchers_share_twenty_servers_as_they_come_and_go(crowd: Ground) -> None:
    config = SimulatorConfig(step_seconds=0.05)
    async with farm(20, config) as urls:
        await add(crowd, urls)
        first, second, third = (dispatcher(crowd, name) for name in ("first", "second", "third"))
        crowd.tasks.start(first.run())
        await shared(crowd, {"first": 20})
        jobs = [await crowd.submit(sampled(seed, steps=20)) for seed in range(80)]
        await crowd.began(jobs[0].id)

        crowd.tasks.start(second.run())
        await shared(crowd, {"first": 10, "second": 10})
        running = crowd.tasks.start(third.run())
        await shared(crowd, {"first": 7, "second": 7, "third": 6})
        await third.drain(30)
        running.cancel()
        await third.leave()
        await shared(crowd, {"first": 10, "second": 10})
        for job in jobs:
            await crowd.ended(job.id, 60)

        await assert_promises(crowd.database, len(jobs))
        lost = "SELECT count(*) FROM attempts WHERE outcome NOT IN ('succeeded', 'withdrawn')"
        assert await rows(crowd.database, lost) == [(0,)]


async def test_who_holds_servers_that_are_gone_has_its_part_of_those_that_work(crowd: Ground) -> None:
    async with farm(6) as urls:
        await add(crowd, [closed_url() for _ in range(6)], "gone")
        crowd.tasks.start(dispatcher(crowd, "first").run())
        await shared(crowd, {"first": 6})
        crowd.tasks.start(dispatcher(crowd, "second").run())
        await add(crowd, urls)

        await shared(crowd, {"first": 3, "second": 3}, "sim%")
        await shared(crowd, {"first": 3, "second": 3}, "gone%")
