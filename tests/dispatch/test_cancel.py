"""A cancel meets exactly its job on exactly its server, wherever the job is just then; there is one end."""

import asyncio
import random

from atelier.jobs.model import Job, JobState
from support.fleet import Ground, picture, sampled, simulator
from support.wards import SLOW, WARY, assert_one_end, attempts, fault, state
from tools.chaos.fault_proxy import FaultProxy, fault_proxy

from .test_media import inverted, red, stored


async def test_while_its_input_is_on_the_way(ground: Ground) -> None:
    async with simulator(SLOW) as url, fault_proxy(url) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        proxy.on("hold", b"/upload/image")
        job = await ground.submit(inverted(await stored(ground, red())))
        await _met(proxy)

        asked = await ground.cancel(job.id)
        ended = await ground.ended(job.id)

        assert asked.state == JobState.CANCELING
        assert ended.state == JobState.CANCELED
        assert (await state(ground, url))["executions"] == {}
        await assert_one_end(ground, job.id)


async def test_while_it_waits_on_the_server_behind_another(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await ground.ended((await ground.submit(sampled(seed=0, steps=10))).id)
        running = await ground.began((await ground.submit(sampled(seed=1, steps=10))).id)
        ahead = await ground.submit(sampled(seed=2, steps=10))
        await _claimed(ground, ahead)

        await ground.cancel(ahead.id)
        ended = await ground.ended(ahead.id)

        assert ended.state == JobState.CANCELED
        assert (await ground.ended(running.id)).state == JobState.SUCCEEDED
        [(_, outcome, _)] = await attempts(ground, ahead.id)
        assert outcome == "canceled"
        assert len((await state(ground, url))["executions"]) == 2
        await assert_one_end(ground, ahead.id)


async def test_while_its_output_is_fetched(ground: Ground) -> None:
    async with simulator(SLOW) as url, fault_proxy(url) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        proxy.on("hold", b"GET /view")
        job = await ground.submit(picture())
        await _met(proxy)

        await ground.cancel(job.id)
        ended = await ground.ended(job.id)

        assert (ended.state, ended.outputs) == (JobState.CANCELED, ())
        await assert_one_end(ground, job.id)


async def test_while_its_next_try_waits(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, url, fault="out_of_memory")
        job = await ground.submit(sampled())
        async with asyncio.timeout(20):
            while (await ground.read(job.id)).tries == 0:  # noqa: ASYNC110 - read from the database
                await asyncio.sleep(0.02)

        asked = await ground.cancel(job.id)

        assert asked.state == JobState.CANCELED
        assert len(await attempts(ground, job.id)) == 1
        await assert_one_end(ground, job.id)


async def test_at_any_moment(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        for number, url in enumerate((first, second)):
            await ground.add_server(url, f"sim-{number}")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(2)
        chance = random.Random(3)  # noqa: S311 - moments, not secrets

        async def submit_and_cancel(number: int) -> Job:
            job = await ground.submit(sampled(seed=number, steps=2))
            await asyncio.sleep(chance.uniform(0.0, 3.0))
            await ground.cancel(job.id)
            return await ground.ended(job.id)

        ended = await asyncio.gather(*(submit_and_cancel(number) for number in range(16)))

        assert {job.state for job in ended} <= {JobState.CANCELED, JobState.SUCCEEDED}
        for job in ended:
            await assert_one_end(ground, job.id)
            assert bool(job.outputs) == (job.state == JobState.SUCCEEDED)


async def _met(proxy: FaultProxy) -> None:
    async with asyncio.timeout(20):
        while not proxy.met:  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.02)


async def _claimed(ground: Ground, job: Job) -> None:
    async with asyncio.timeout(20):
        while (await ground.read(job.id)).state != JobState.CLAIMED:  # noqa: ASYNC110 - read from the database
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
