"""The way to a server breaks, stands still or loses replies: each job ends once, and is not drawn twice for it."""

import asyncio
import random

import pytest

from atelier.comfy.client import Timeouts
from atelier.jobs.model import JobState
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator
from support.promises import assert_empties, assert_nothing_drawn_twice, assert_promises, control, eventually, rows
from tools.chaos.fault_proxy import fault_proxy
from tools.chaos.processes import Fleet

SLOW = SimulatorConfig(control=True, step_seconds=0.02)
FAST = SimulatorConfig(control=True)
IMPATIENT = Timeouts(connect=1, read=1)


@pytest.mark.parametrize(
    ("fault", "mark"),
    [
        ("cut_before", b"POST /prompt"),
        ("cut_after", b"POST /prompt"),
        ("cut_within", b"POST /prompt"),
        ("cut_before", b"GET /view"),
        ("cut_within", b"GET /view"),
        ("cut_before", b"GET /ws"),
    ],
)
async def test_a_connection_that_is_cut_costs_no_job(ground: Ground, fault: str, mark: bytes) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        proxy.on(fault, mark, times=2)
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        jobs = [await ground.submit(sampled(seed, steps=4)) for seed in range(3)]
        for job in jobs:
            await ground.ended(job.id)

        assert proxy.met == 2
        await assert_promises(ground.database, len(jobs))
        await assert_nothing_drawn_twice(ground.http, real)


async def test_connections_that_are_cut_all_the_time_cost_no_job(ground: Ground) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        jobs = [await ground.submit(sampled(seed, steps=6)) for seed in range(6)]

        for _ in range(8):
            await asyncio.sleep(0.3)
            proxy.cut()
        for job in jobs:
            await ground.ended(job.id)

        await assert_promises(ground.database, len(jobs))
        await assert_nothing_drawn_twice(ground.http, real)


async def test_a_submit_that_is_held_up_runs_once(ground: Ground) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        proxy.on("hold", b"POST /prompt")
        job = await ground.submit(sampled(steps=4))

        await asyncio.sleep(1.2)
        proxy.released.set()
        ended = await ground.ended(job.id)

        assert ended.tries == 0
        await assert_promises(ground.database, 1)
        await assert_nothing_drawn_twice(ground.http, real)


async def test_a_server_that_hangs_loses_its_jobs_to_another(ground: Ground) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy, simulator(FAST) as other:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher(silent_after=0.5, timeouts=IMPATIENT).run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=400))).id)

        proxy.hang(hangs=True)
        await ground.add_server(other, "sim-2")
        ended = await ground.ended(job.id)
        proxy.hang(hangs=False)
        proxy.cut()

        assert ended.state == JobState.SUCCEEDED
        await assert_promises(ground.database, 1)
        await assert_empties(ground.http, real)
        assert not (await control(ground.http, real))["drawn"], "what was given up was drawn to its end"


async def test_a_job_is_canceled_although_its_server_cannot_be_reached(ground: Ground) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher(silent_after=0.5, timeouts=IMPATIENT).run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=600))).id)

        proxy.hang(hangs=True)
        await ground.cancel(job.id)
        ended = await ground.ended(job.id)
        proxy.hang(hangs=False)
        proxy.cut()

        assert ended.state == JobState.CANCELED
        await assert_promises(ground.database, 1, states=["canceled"])
        await assert_empties(ground.http, real)


async def test_cancels_that_race_with_the_end_give_one_end(ground: Ground) -> None:
    async with simulator(FAST) as one, simulator(FAST) as two:
        await ground.add_server(one, "sim-1")
        await ground.add_server(two, "sim-2")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(2)
        chance = random.Random(7)  # noqa: S311 - the same moments in every run

        async def race(number: int) -> None:
            await asyncio.sleep(number * 0.03)
            job = await ground.submit(picture(number))
            await asyncio.sleep(chance.uniform(0, 0.12))
            await ground.cancel(job.id)
            await ground.ended(job.id)

        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(race(number))

        await assert_promises(ground.database, 60, states=["succeeded", "canceled"])
        states = {row[0] for row in await rows(ground.database, "SELECT state FROM jobs")}
        assert states == {"succeeded", "canceled"}, "nothing raced"


async def test_cancels_that_race_with_the_beginning_stop_the_run(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        chance = random.Random(7)  # noqa: S311 - the same moments in every run

        for number in range(12):
            job = await ground.submit(sampled(number, steps=5_000))
            await asyncio.sleep(chance.uniform(0, 0.03))
            await ground.cancel(job.id)
            await ground.ended(job.id)

        await assert_promises(ground.database, 12, states=["canceled"])
        await assert_empties(ground.http, url)
        assert not (await control(ground.http, url))["drawn"]


async def test_a_server_killed_and_started_again_counts_against_what_it_ran_alone(
    ground: Ground, fleet: Fleet
) -> None:
    url = await fleet.simulator("sim-1", step_seconds=0.05)
    await ground.add_server(url, "sim-1")
    ground.tasks.start(ground.dispatcher(lost_after=20.0).run())
    await ground.known(1)
    await ground.ended((await ground.submit(sampled(0, steps=12))).id)
    running = await ground.began((await ground.submit(sampled(1, steps=12))).id)
    ahead = await ground.submit(sampled(2, steps=12))

    async def placed() -> bool:
        return (await ground.read(ahead.id)).state != JobState.QUEUED

    await eventually(placed)

    await fleet.kill("sim-1")
    await fleet.again("sim-1")
    await ground.ended(running.id)
    await ground.ended(ahead.id)

    await assert_promises(ground.database, 3)
    deaths = dict(await rows(ground.database, "SELECT id, server_deaths FROM jobs"))
    assert (deaths[running.id], deaths[ahead.id]) == (1, 0)
