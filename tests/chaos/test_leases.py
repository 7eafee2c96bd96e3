"""Dispatchers that freeze, leave or die: whoever takes over goes on, and nothing of the former one counts."""

import asyncio
import signal
from typing import Any, LiteralString

from atelier.fleet.store import leasing
from atelier.jobs.model import JobState
from atelier.kit.ids import DispatcherId, new_uuid
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator
from support.promises import assert_empties, assert_nothing_drawn_twice, assert_promises, control, eventually, rows
from tools.chaos.fault_proxy import fault_proxy
from tools.chaos.processes import Fleet

FAST = SimulatorConfig(control=True)
SLOW = SimulatorConfig(control=True, step_seconds=0.03)


async def dispatcher(fleet: Fleet, name: str) -> None:
    await fleet.start(name, "dispatch")
    await fleet.line(name)


async def until(ground: Ground, query: LiteralString, wanted: Any) -> None:
    """Until the first column of the rows is `wanted`."""

    async def so() -> bool:
        return bool([row[0] for row in await rows(ground.database, query)] == wanted)

    await eventually(so)


async def fence(ground: Ground) -> int:
    return int((await rows(ground.database, "SELECT fence FROM leases"))[0][0])


async def test_a_frozen_dispatcher_that_wakes_changes_nothing(ground: Ground, fleet: Fleet) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        await dispatcher(fleet, "first")
        await ground.known(1)
        jobs = [await ground.submit(sampled(seed, steps=20)) for seed in range(8)]
        await ground.began(jobs[0].id)
        before = await fence(ground)

        fleet.stop("first")
        await dispatcher(fleet, "second")
        await until(ground, "SELECT fence FROM leases", [before + 1])
        fleet.go_on("first")
        for job in jobs:
            await ground.ended(job.id)

        await assert_promises(ground.database, len(jobs))
        await assert_nothing_drawn_twice(ground.http, url)
        assert await fence(ground) == before + 1


async def test_a_prompt_that_arrives_after_its_lease_is_stopped(ground: Ground, fleet: Fleet) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        await dispatcher(fleet, "first")
        await ground.known(1)
        proxy.on("hold", b"POST /prompt")
        job = await ground.submit(sampled(1, steps=150))
        await eventually(proxy.has_met)

        fleet.stop("first")
        await dispatcher(fleet, "second")
        await until(ground, "SELECT number FROM attempts WHERE state = 'running'", [2])
        proxy.released.set()
        fleet.go_on("first")
        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        await assert_promises(ground.database, 1)
        await assert_nothing_drawn_twice(ground.http, real)
        await assert_empties(ground.http, real)
        assert len((await control(ground.http, real))["executions"]) == 1, "the late prompt was run"


async def test_two_dispatchers_share_the_servers_and_one_takes_all_when_the_other_dies(
    ground: Ground, fleet: Fleet
) -> None:
    async with simulator(SLOW) as one, simulator(SLOW) as two:
        await ground.add_server(one, "sim-1")
        await ground.add_server(two, "sim-2")
        await dispatcher(fleet, "first")
        await ground.known(2)
        await dispatcher(fleet, "second")
        await until(ground, "SELECT count(DISTINCT dispatcher_id) FROM leases", [2])

        jobs = [await ground.submit(sampled(seed, steps=20)) for seed in range(12)]
        await ground.began(jobs[1].id)
        await fleet.kill("first")
        for job in jobs:
            await ground.ended(job.id)

        await assert_promises(ground.database, len(jobs))
        await assert_nothing_drawn_twice(ground.http, one, two)
        await until(ground, "SELECT count(DISTINCT dispatcher_id) FROM leases", [1])


async def test_a_run_that_was_gone_before_it_was_adopted_is_tried_again_and_not_timed_out(
    ground: Ground, fleet: Fleet
) -> None:
    await ground.add_server(await fleet.simulator("sim-1", step_seconds=0.05), "sim-1")
    first = ground.tasks.start(ground.dispatcher().run())
    await ground.known(1)
    job = await ground.began((await ground.submit(sampled(steps=60))).id)

    first.cancel()
    await fleet.kill("sim-1")
    async with ground.database.transaction() as tx:
        await tx.execute("UPDATE attempts SET started_at = started_at - interval '1 hour' WHERE state = 'running'")
    await fleet.again("sim-1")
    ground.tasks.start(ground.dispatcher(run_timeout=60.0).run())
    ended = await ground.ended(job.id)

    assert ended.state == JobState.SUCCEEDED
    assert await rows(ground.database, "SELECT outcome FROM attempts ORDER BY number") == [
        ("lost",),
        ("succeeded",),
    ]
    await assert_promises(ground.database, 1)


async def test_a_dead_dispatchers_servers_are_taken_when_it_runs_out_not_a_beat_later(
    ground: Ground,
) -> None:
    async with simulator(FAST) as url:
        await ground.add_server(url, "sim-1")
        dead = DispatcherId(new_uuid())
        async with ground.database.transaction() as tx:
            await leasing.beat(tx, dead, "dead", 2.0)
            await leasing.acquire(tx, dead, 1)
        ground.tasks.start(ground.dispatcher(heartbeat=600.0, hold=700.0, expiry=800.0).run())

        job = await ground.ended((await ground.submit(picture())).id)

        assert job.state == JobState.SUCCEEDED
        assert await fence(ground) == 2


async def test_a_dispatcher_that_is_told_to_stop_hands_over_at_once(ground: Ground, fleet: Fleet) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        await dispatcher(fleet, "first")
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=150))).id)

        fleet.processes["first"].send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            code = await fleet.processes["first"].wait()
        holders = await rows(ground.database, "SELECT dispatcher_id FROM leases")
        await dispatcher(fleet, "second")
        ended = await ground.ended(job.id)

        assert code == 0
        assert holders == [(None,)]
        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        assert await rows(ground.database, "SELECT dispatcher_losses FROM jobs") == [(0,)]
        await assert_promises(ground.database, 1)
        await assert_nothing_drawn_twice(ground.http, url)
