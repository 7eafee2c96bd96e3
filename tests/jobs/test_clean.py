"""Jobs that ended long ago are deleted on demand, with all that is theirs; nothing else is."""

import datetime as dt

from atelier.jobs import service
from atelier.jobs.model import TERMINAL, Cause, JobState
from atelier.jobs.store import sweep
from atelier.kit.ids import JobId
from support.yard import Yard, made

HOUR = 3600.0


async def clean(yard: Yard, *states: JobState, older_than: float = HOUR, most: int = 500) -> int:
    """All steps; gives how many were deleted."""
    deleted, mark, more = 0, None, True
    while more:
        async with yard.database.transaction() as tx:
            step = await sweep.clean(tx, older_than=older_than, states=states or TERMINAL, mark=mark, most=most)
        deleted, mark, more = deleted + step.deleted, step.mark, step.mark is not None
    return deleted


async def ended(yard: Yard, ago: dt.timedelta = dt.timedelta(hours=2)) -> JobId:
    """A canceled job that ended so long ago."""
    job = await yard.submit()
    await yard.cancel(job.id)
    await yard.run("UPDATE jobs SET finished_at = now() - %s WHERE id = %s", ago, job.id)
    return job.id


async def left(yard: Yard) -> set[JobId]:
    return {JobId(row[0]) for row in await yard.rows("SELECT id FROM jobs")}


async def test_old_jobs_go_young_and_unfinished_ones_stay(yard: Yard) -> None:
    old, young = await ended(yard), await ended(yard, dt.timedelta(minutes=30))
    waiting = (await yard.submit()).id

    deleted = await clean(yard)

    assert deleted == 1
    assert await left(yard) == {young, waiting}
    assert await yard.value("SELECT count(*) FROM job_events WHERE job_id = %s", old) == 0


async def test_only_jobs_that_ended_as_asked_go(yard: Yard) -> None:
    canceled, failed = await ended(yard), await ended(yard)
    await yard.run("UPDATE jobs SET state = 'failed' WHERE id = %s", failed)

    await clean(yard, JobState.FAILED)

    assert await left(yard) == {canceled}


async def test_a_clean_up_in_small_steps_misses_none(yard: Yard) -> None:
    jobs = [await ended(yard) for _ in range(7)]
    await yard.run("UPDATE jobs SET keep_until = now()")
    kept = [await ended(yard, dt.timedelta(0)) for _ in range(3)]

    deleted = await clean(yard, most=2)

    assert deleted == len(jobs)
    assert await left(yard) == set(kept)


async def test_outputs_of_deleted_jobs_expire_at_once(yard: Yard) -> None:
    await yard.keep(b"picture")
    claim = await yard.claimed(await yard.dispatcher_with_server(), running=True)
    assert await service.succeed(yard.database, claim, [made()])
    await yard.run("UPDATE jobs SET finished_at = now() - interval '2 hours'")

    await clean(yard)

    assert await yard.rows("SELECT expires_at <= now() FROM assets") == [(True,)]
    assert await yard.rows("SELECT 1 FROM outputs") == []


async def test_open_dead_letters_stay_until_they_are_settled(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit()
    for number in (1, 2):
        claim = await yard.claim(me, job.id, number=number)
        async with yard.database.transaction() as tx:
            await service.finish_retriable(tx, claim, Cause.SERVER_LOST, was_running=True)
    await yard.run("UPDATE jobs SET finished_at = now() - interval '2 hours'")

    kept = await clean(yard)
    await yard.run("UPDATE dead_letters SET settled_at = now()")
    gone = await clean(yard)

    assert (kept, gone) == (0, 1)
    assert await yard.rows("SELECT 1 FROM dead_letters") == []
