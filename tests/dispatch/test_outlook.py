"""What waiting jobs are told while a real dispatcher drives simulated servers is what then comes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from atelier.fleet import service as fleet
from atelier.fleet.scene import Limits
from atelier.jobs.model import Job
from atelier.jobs.outlook import Outlook, Prospect
from atelier.kit.ids import JobId, ServerId
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator

PATIENCE = 30.0


@contextlib.asynccontextmanager
async def servers(
    ground: Ground, count: int, *, step: float = 0.1
) -> AsyncGenerator[list[contextlib.AsyncExitStack]]:
    """Simulated servers gpu-1, gpu-2…; closing the stack of one ends that server."""
    async with contextlib.AsyncExitStack() as stack:
        own = [await stack.enter_async_context(contextlib.AsyncExitStack()) for _ in range(count)]
        for number, one in enumerate(own, 1):
            config = SimulatorConfig(control=True, step_seconds=step, load_seconds=0.0)
            await ground.add_server(await one.enter_async_context(simulator(config)), f"gpu-{number}")
        yield own


async def told(ground: Ground, outlook: Outlook, job: Job) -> Prospect:
    read = await ground.read(job.id)
    async with ground.database.autocommit() as tx:
        return await outlook.of(tx, read)


async def told_that(ground: Ground, outlook: Outlook, job: Job, enough: Callable[[str], bool]) -> str:
    """The reason, once it is such a one."""
    async with asyncio.timeout(PATIENCE):
        while True:
            reason = (await told(ground, outlook, job)).reason
            if enough(reason):
                return reason
            await asyncio.sleep(0.05)


async def test_what_was_told_first_is_near_what_came(ground: Ground) -> None:
    outlook = Outlook(ground.view, kept=0.2)
    async with servers(ground, 1):
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await ground.ended((await ground.submit(sampled(0, steps=10))).id)
        await ground.ended((await ground.submit(sampled(1, steps=10))).id)
        await _written_down(ground)

        waiting = {(await ground.submit(sampled(seed, steps=10))).id for seed in range(2, 12)}
        longest = await _follow(ground, outlook, waiting)

    errors = outlook.errors()
    assert errors.samples >= 4
    assert errors.median is not None
    assert errors.median <= longest / 2
    assert errors.bias is not None
    assert abs(errors.bias) <= longest / 2


async def _written_down(ground: Ground) -> None:
    """Until the dispatcher has told how long a run takes."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with ground.database.autocommit() as tx:
                if await (await tx.execute("SELECT 1 FROM run_times")).fetchone():
                    return
            await asyncio.sleep(0.1)


async def _follow(ground: Ground, outlook: Outlook, waiting: set[JobId]) -> float:
    """Ask for all of them until they have ended. The longest time that one waited."""
    longest = 0.0
    async with asyncio.timeout(4 * PATIENCE):
        while waiting:
            for job in [await ground.read(job_id) for job_id in waiting]:
                async with ground.database.autocommit() as tx:
                    await outlook.of(tx, job)
                if job.state.terminal and job.started_at is not None:
                    longest = max(longest, (job.started_at - job.created_at).total_seconds())
                    waiting.remove(job.id)
            await asyncio.sleep(0.1)
    last = await ground.submit(picture())
    await asyncio.sleep(0.3)
    await told(ground, outlook, last)
    return longest


async def test_the_first_of_busy_servers_is_told(ground: Ground) -> None:
    outlook = Outlook(ground.view, kept=0.0)
    async with servers(ground, 1, step=1.0):
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await ground.began((await ground.submit(sampled(1, steps=20))).id)

        reason = await told_that(ground, outlook, await ground.submit(sampled(2)), lambda words: "busy" in words)

    assert reason == "waiting for a server: gpu-1 is busy, nobody knows for how long"


async def test_a_running_limit_keeps_jobs_waiting_beside_a_free_server(ground: Ground) -> None:
    outlook = Outlook(ground.view, Limits(running_per_account=1), kept=0.0)
    async with servers(ground, 2, step=1.0):
        ground.tasks.start(ground.dispatcher(max_running_per_account=1).run())
        await ground.known(2)
        await ground.began((await ground.submit(sampled(1, steps=20))).id)
        second = await ground.submit(picture())
        await asyncio.sleep(0.5)

        reason = (await told(ground, outlook, second)).reason

    assert reason == "waiting for a server: 1 job of your account runs already, as many as may"


async def test_the_cap_of_the_whole_fleet_keeps_jobs_waiting_beside_a_free_server(ground: Ground) -> None:
    outlook = Outlook(ground.view, Limits(running=1), kept=0.0)
    async with servers(ground, 2, step=1.0):
        ground.tasks.start(ground.dispatcher(max_running=1).run())
        await ground.known(2)
        await ground.began((await ground.submit(sampled(1, steps=20))).id)
        second = await ground.submit(picture())
        await asyncio.sleep(0.5)

        reason = (await told(ground, outlook, second)).reason

    assert reason == "waiting for a server: as many jobs run as may in the whole fleet"


async def test_a_server_that_may_begin_one_job_a_minute_says_when_it_begins_the_next(ground: Ground) -> None:
    outlook = Outlook(ground.view, Limits(per_minute=1), kept=0.0)
    async with servers(ground, 1):
        ground.tasks.start(ground.dispatcher(server_jobs_per_minute=1).run())
        await ground.known(1)
        await ground.ended((await ground.submit(picture(1))).id)
        second = await ground.submit(picture(2))
        await asyncio.sleep(0.5)

        prospect = await told(ground, outlook, second)

    assert prospect.reason.startswith("waiting for a server: gpu-1 has begun as many jobs as it may in a minute")
    assert prospect.eta_seconds is not None


async def test_a_canary_leaves_jobs_waiting_for_the_others(ground: Ground) -> None:
    outlook = Outlook(ground.view, kept=0.0)
    async with servers(ground, 2, step=1.0):
        async with ground.database.transaction() as tx:
            await fleet.change(tx, ServerId("gpu-2"), {"share": 0.01})
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(2)
        await ground.began((await ground.submit(sampled(1, steps=20))).id)
        second = await ground.submit(picture())
        await asyncio.sleep(0.5)

        reason = (await told(ground, outlook, second)).reason

    assert reason.endswith("gpu-2 takes only 1% of the jobs")


async def test_servers_that_went_away_are_named(ground: Ground) -> None:
    outlook = Outlook(ground.view, kept=0.0)
    async with servers(ground, 1) as own:
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await own[0].aclose()

        job = await ground.submit(picture())
        reason = await told_that(ground, outlook, job, lambda words: "offline" in words)

    assert reason.startswith("waiting for a server: gpu-1 has been offline for about ")


async def test_a_job_whose_server_died_is_told_when_it_is_tried_again_and_why(ground: Ground) -> None:
    outlook = Outlook(ground.view, kept=0.0)
    async with servers(ground, 2, step=1.0) as own:
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(2)
        job = await ground.submit(sampled(1, steps=20))
        await ground.began(job.id)
        where = await _server_of(ground, job)
        await own[int(where.removeprefix("gpu-")) - 1].aclose()

        reason = await told_that(ground, outlook, job, lambda words: "tried again" in words)

    assert reason.startswith("waiting for a server: it is tried again in about ")
    assert reason.endswith(f", because the server that ran it was lost ({where})")


async def _server_of(ground: Ground, job: Job) -> str:
    async with ground.database.autocommit() as tx:
        rows = await tx.execute("SELECT server_id FROM attempts WHERE job_id = %s", (job.id,))
        [(server_id,)] = await rows.fetchall()
    return str(server_id)
