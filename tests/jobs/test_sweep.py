"""What the clock does to jobs: they wait and are kept as long as was promised; the log has a partition a day."""

import asyncio
import datetime as dt

import pytest

from atelier.jobs import service
from atelier.jobs.model import IdempotencyKey, JobState, Preview
from atelier.jobs.service import IdempotencyKeyReused
from atelier.jobs.store import live, sweep
from atelier.kit import clock
from atelier.kit.ids import JobId
from support.yard import Yard, kinds, made

OF_A_JOB = ("jobs", "attempts", "job_events", "holds", "outputs", "job_inputs", "job_progress", "job_previews")


async def expire(yard: Yard, most: int = 500) -> list[JobId]:
    async with yard.database.transaction() as tx:
        return list(await sweep.expire(tx, most))


async def partition(yard: Yard, keep_days: int = 7) -> None:
    async with yard.database.transaction() as tx:
        await sweep.partition(tx, keep_days)


async def partitions(yard: Yard) -> list[str]:
    rows = await yard.rows(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = 'job_events'::regclass AND relname <> 'job_events_default' ORDER BY relname"
    )
    return [row[0].removeprefix("job_events_") for row in rows]


def day(offset: int) -> str:
    return f"{clock.utcnow().date() + dt.timedelta(days=offset):%Y%m%d}"


async def test_a_job_that_waited_too_long_ends_with_the_reason_and_its_credits_back(yard: Yard) -> None:
    overdue, young = await yard.submit(price=4, queue_ttl=-1.0), await yard.submit()

    assert await expire(yard) == [overdue.id]

    job = await yard.read(overdue.id)
    assert job.state is JobState.EXPIRED
    assert job.error is not None
    assert job.error.code == "expired"
    assert kinds(await yard.events(overdue.id)) == ["queued", "expired"]
    assert await yard.hold(overdue.id) == ("released", 0)
    assert (await yard.read(young.id)).state is JobState.QUEUED


async def test_what_a_server_holds_does_not_expire(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.claimed(me, queue_ttl=-1.0)

    assert await expire(yard) == []


async def test_expiry_is_done_in_portions_the_oldest_first(yard: Yard) -> None:
    jobs = [await yard.submit(queue_ttl=-ttl) for ttl in (1.0, 3.0, 2.0)]

    assert await expire(yard, 2) == [jobs[1].id, jobs[2].id]
    assert await expire(yard, 2) == [jobs[0].id]


async def test_two_sweeps_at_once_end_every_job_once(yard: Yard) -> None:
    jobs = {(await yard.submit(queue_ttl=-1.0)).id for _ in range(20)}

    async with asyncio.TaskGroup() as group:
        sweeps = [group.create_task(expire(yard, 15)) for _ in range(2)]

    ended = [job_id for one in sweeps for job_id in one.result()]
    assert len(ended) == len(set(ended))
    assert set(ended) | set(await expire(yard)) == jobs


async def test_a_finished_job_is_forgotten_with_all_that_is_its_own(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True, retention=-1.0)
    kept = await yard.claimed(me)
    await yard.keep(b"picture")
    async with yard.database.transaction() as tx:
        await live.save_preview(tx, claim.job_id, Preview(1, "3", "image/png", b"p"))
        await live.save_progress(tx, [(claim.job_id, 1, {"value": 0.5})])
        await live.watch(tx, claim.job_id, 60)
    await service.succeed(yard.database, claim, [made()])
    await yard.fail(kept)

    async with yard.database.transaction() as tx:
        assert await sweep.forget_finished(tx) == 1

    assert await yard.rows("SELECT id FROM jobs") == [(kept.job_id,)]
    for table in (*OF_A_JOB[1:], "job_watches"):
        assert await yard.rows(f"SELECT 1 FROM {table} WHERE job_id = %s", claim.job_id) == [], table  # noqa: S608
    assert len(await yard.events(kept.job_id)) == 2
    assert await yard.value("SELECT count(*) FROM assets") == 1


async def test_a_job_that_has_not_ended_is_never_forgotten(yard: Yard) -> None:
    await yard.submit(retention=-1.0)

    async with yard.database.transaction() as tx:
        assert await sweep.forget_finished(tx) == 0


async def test_a_key_outlives_the_job_that_was_soon_forgotten(yard: Yard) -> None:
    key = IdempotencyKey("order-1", b"h")
    await yard.cancel((await yard.submit(retention=-1.0, idempotency=key)).id)
    async with yard.database.transaction() as tx:
        assert await sweep.forget_finished(tx) == 1

    with pytest.raises(IdempotencyKeyReused):
        await yard.submit(idempotency=key)


async def test_what_is_only_for_the_living_goes_when_they_end(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    ended, living = await yard.claimed(me, running=True), await yard.claimed(me, running=True)
    async with yard.database.transaction() as tx:
        await live.save_progress(tx, [(claim.job_id, 1, {"value": 0.5}) for claim in (ended, living)])
    await yard.fail(ended)

    async with yard.database.transaction() as tx:
        await sweep.forget_live(tx)

    assert await yard.rows("SELECT job_id FROM job_progress") == [(living.job_id,)]


async def test_partitions_are_made_for_today_and_three_days(yard: Yard) -> None:
    await partition(yard)
    await partition(yard)

    assert await partitions(yard) == [day(offset) for offset in range(4)]


async def test_events_of_today_move_into_its_partition(yard: Yard) -> None:
    before = await yard.submit()
    await partition(yard)
    await yard.cancel(before.id)
    after = await yard.submit()

    assert kinds(await yard.events(before.id)) == ["queued", "canceled"]
    assert kinds(await yard.events(after.id)) == ["queued"]
    assert await yard.value("SELECT count(*) FROM job_events_default") == 0
    assert await yard.value(f"SELECT count(*) FROM job_events_{day(0)}") == 3  # noqa: S608 - a date


async def test_a_job_ends_once_also_when_its_events_moved(yard: Yard) -> None:
    job = await yard.submit()
    await yard.cancel(job.id)
    await partition(yard)

    rows = await yard.rows("SELECT indexdef FROM pg_indexes WHERE tablename = %s", f"job_events_{day(0)}")

    assert len([row for row in rows if "UNIQUE" in row[0]]) == 2


async def test_old_days_are_dropped_and_young_ones_kept(yard: Yard) -> None:
    for offset in (-9, -7):
        following = clock.utcnow().date() + dt.timedelta(days=offset + 1)
        await yard.run(
            f"CREATE TABLE job_events_{day(offset)} PARTITION OF job_events"
            f" FOR VALUES FROM ('{day(offset)}') TO ('{following}')"
        )
    job = await yard.submit()
    await yard.run("UPDATE job_events SET job_day = job_day - 8")
    await yard.run("UPDATE jobs SET created_at = created_at - interval '8 days'")

    await partition(yard, keep_days=7)

    assert (await partitions(yard))[0] == day(-7)
    assert await yard.events(job.id) == []


async def test_partitions_made_while_jobs_are_submitted_lose_no_event(yard: Yard) -> None:
    async def submit() -> None:
        for _ in range(10):
            await yard.submit()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(submit())
        for _ in range(2):
            group.create_task(partition(yard))

    assert await yard.value("SELECT count(*) FROM job_events") == 30
    assert await yard.value("SELECT count(*) FROM job_events_default") == 0
