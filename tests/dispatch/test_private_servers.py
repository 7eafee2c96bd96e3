"""Nobody asks a server that another dispatcher alone can reach; what a lost owner left there runs elsewhere."""

from typing import Any

from atelier.fleet import service as fleet
from atelier.fleet.model import Origin
from atelier.fleet.service import Named
from atelier.fleet.store import leasing
from atelier.jobs import rules
from atelier.jobs.model import JobState, Wish
from atelier.jobs.store import claims
from atelier.kit.ids import DispatcherId, JobId, new_uuid
from support.comfy_standin import standing_in
from support.fleet import Ground, picture, simulator
from support.promises import rows
from support.serving import eventually


async def left_behind(ground: Ground, url: str, job_id: JobId, gone: float) -> str:
    """The job lives on a private server of `red`, who has been away for `gone` seconds. Gives the server's id."""
    red = DispatcherId(new_uuid())
    async with ground.database.transaction() as tx:
        [server_id] = await fleet.follow_setting(tx, [Named(url)], Origin.SETTING, "red")
        await leasing.beat(tx, red, "red", 60)
        await leasing.acquire(tx, red, 1)
        [lease] = await leasing.leases(tx, red)
        wish = Wish(job_id, 1, rules.prompt_id(job_id, 1), server_id, lease.fence)
        assert len(await claims.claim(tx, red, [wish])) == 1
        await leasing.beat(tx, red, "red", -gone)
    return server_id


async def states(ground: Ground) -> list[Any]:
    return await rows(ground.database, "SELECT server_id, state, outcome FROM attempts ORDER BY number")


async def beats(ground: Ground, name: str, count: int) -> None:
    """Until the dispatcher of this name has renewed its leases so often."""
    seen = set[Any]()

    async def enough() -> bool:
        seen.update(
            row[1]
            for row in await rows(ground.database, "SELECT name, expires_at FROM dispatchers")
            if row[0] == name
        )
        return len(seen) > count

    await eventually(enough)


async def test_a_job_on_the_server_of_a_long_lost_owner_runs_elsewhere(ground: Ground) -> None:
    async with standing_in() as private, simulator() as url:
        job = await ground.submit(picture())
        server_id = await left_behind(ground, private.url, job.id, gone=70)
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(name="blue").run())

        ended = await ground.ended(job.id)

        async def let_go() -> bool:
            held = "SELECT server_id FROM leases WHERE dispatcher_id IS NOT NULL"
            return await rows(ground.database, held) == [("sim-1",)]

        await eventually(let_go)
        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 1)
        assert await states(ground) == [(server_id, "ended", "lost"), ("sim-1", "ended", "succeeded")]
        assert private.seen == []


async def test_a_job_on_the_server_of_an_owner_that_was_just_here_waits_for_it(ground: Ground) -> None:
    async with simulator() as url:
        job = await ground.submit(picture())
        server_id = await left_behind(ground, url, job.id, gone=1)
        ground.tasks.start(ground.dispatcher(name="blue").run())
        await beats(ground, "blue", 3)
        assert await states(ground) == [(server_id, "claimed", None)]

        ground.tasks.start(ground.dispatcher(name="red").run())
        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert {row[0] for row in await states(ground)} == {server_id}
