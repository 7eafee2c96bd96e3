"""A job is read by its owner alone, newest first, page by page."""

from typing import Any

import pytest

from atelier.jobs import service
from atelier.jobs.model import JobState, Page, Preview, Progress
from atelier.jobs.service import InvalidCursor, JobNotFound
from atelier.jobs.store import live, reads
from atelier.jobs.store.listing import Wanted
from atelier.kit.ids import AccountId, JobId, new_uuid
from support.yard import Yard, made

STRANGER = AccountId(new_uuid())


async def page(yard: Yard, limit: int = 10, **wanted: Any) -> Page:
    async with yard.database.transaction() as tx:
        return await service.listing(tx, yard.account_id, limit=limit, **wanted)


async def test_a_foreign_job_is_not_found_whatever_is_asked_of_it(yard: Yard) -> None:
    job = await yard.submit()

    async with yard.database.transaction() as tx:
        for asked in (service.read, service.graph, service.cancel):
            with pytest.raises(JobNotFound):
                await asked(tx, STRANGER, job.id)
        assert await service.events_after(tx, STRANGER, job.id, 0) == []
        assert await service.listing(tx, STRANGER, limit=10) == Page((), None)

    assert (await yard.read(job.id)).state is JobState.QUEUED


async def test_a_job_that_never_was_is_not_found(yard: Yard) -> None:
    with pytest.raises(JobNotFound):
        await yard.read(JobId(new_uuid()))


async def test_pages_are_newest_first_and_complete(yard: Yard) -> None:
    jobs = [(await yard.submit()).id for _ in range(5)]

    first = await page(yard, 2)
    second = await page(yard, 2, cursor=first.next_cursor)
    third = await page(yard, 2, cursor=second.next_cursor)

    listed = [job.id for one in (first, second, third) for job in one.jobs]
    assert listed == jobs[::-1]
    assert third.next_cursor is None


async def test_a_page_that_ends_with_the_last_job_has_no_next(yard: Yard) -> None:
    for _ in range(2):
        await yard.submit()

    assert (await page(yard, 2)).next_cursor is None


async def test_jobs_that_came_meanwhile_do_not_shift_the_next_page(yard: Yard) -> None:
    jobs = [(await yard.submit()).id for _ in range(4)]
    first = await page(yard, 2)
    await yard.submit()

    second = await page(yard, 2, cursor=first.next_cursor)

    assert [job.id for job in second.jobs] == [jobs[1], jobs[0]]


@pytest.mark.parametrize("cursor", ["abc", "-1", "1.5", "١٢", "9" * 19, "1 ", "²"])
async def test_a_cursor_of_somebody_elses_making_is_refused(yard: Yard, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await page(yard, cursor=cursor)


async def test_the_largest_cursor_is_no_accident(yard: Yard) -> None:
    job = await yard.submit()

    assert [one.id for one in (await page(yard, cursor="9" * 18)).jobs] == [job.id]


async def test_labels_must_all_fit(yard: Yard) -> None:
    sea = await yard.submit(metadata={"project": "sea", "stage": "draft"})
    await yard.submit(metadata={"project": "sea"})
    await yard.submit()

    found = await page(yard, wanted=Wanted(labels={"stage": "draft", "project": "sea"}))
    none = await page(yard, wanted=Wanted(labels={"project": "se"}))

    assert [job.id for job in found.jobs] == [sea.id]
    assert none.jobs == ()


async def test_jobs_are_listed_by_state(yard: Yard) -> None:
    waiting, ended = await yard.submit(), await yard.submit()
    await yard.cancel(ended.id)

    async def of(*states: JobState) -> list[JobId]:
        return [job.id for job in (await page(yard, wanted=Wanted(states))).jobs]

    assert await of(JobState.QUEUED) == [waiting.id]
    assert await of(JobState.CANCELED, JobState.FAILED) == [ended.id]
    assert await of(JobState.RUNNING) == []


async def test_events_are_read_behind_a_sequence(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    async with yard.database.transaction() as tx:
        behind = await service.events_after(tx, yard.account_id, claim.job_id, 1)

    assert [event.seq for event in behind] == [2]


async def test_progress_never_goes_back_and_is_shown_while_the_job_runs(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    for seq, value in enumerate((0.2, 0.6, 0.4)):
        shown = Progress(value, nodes_done=seq, nodes_total=3, message="KSampler")
        async with yard.database.transaction() as tx:
            await live.save_progress(tx, [(claim.job_id, seq, shown.as_json())])

    while_running = (await yard.read(claim.job_id)).progress
    await yard.fail(claim)

    assert while_running == Progress(0.6, nodes_done=2, nodes_total=3, message="KSampler")
    assert (await yard.read(claim.job_id)).progress is None


async def test_a_preview_is_given_once_to_who_has_not_seen_it(yard: Yard) -> None:
    job = await yard.submit()
    async with yard.database.transaction() as tx:
        await live.save_preview(tx, job.id, Preview(1, "3", "image/jpeg", b"one"))
        await live.save_preview(tx, job.id, Preview(2, "3", "image/jpeg", b"two"))

        assert await service.preview_after(tx, job.id, 1) == Preview(2, "3", "image/jpeg", b"two")
        assert await service.preview_after(tx, job.id, 2) is None


async def test_previews_are_wanted_while_somebody_watches(yard: Yard) -> None:
    seen, unseen = await yard.submit(), await yard.submit()
    async with yard.database.transaction() as tx:
        await service.watch(tx, seen.id, 60)
        await service.watch(tx, seen.id, 1)
        await service.watch(tx, unseen.id, -1)

    async with yard.database.transaction() as tx:
        assert await live.watched(tx, [seen.id, unseen.id]) == {seen.id}


async def test_unfinished_jobs_are_counted_by_state(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.submit()
    await yard.claimed(me, running=True)
    await yard.cancel((await yard.submit()).id)

    async with yard.database.transaction() as tx:
        assert await reads.counts(tx) == {"queued": 1, "running": 1}
        assert await reads.waiting_by_account(tx) == {yard.account_id: 1}


async def test_outputs_are_read_in_the_order_of_their_making(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    bodies = [b"three", b"one", b"two"]
    await yard.keep(*bodies)
    outputs = [made(body, body.decode()) for body in bodies]

    await service.succeed(yard.database, claim, outputs)

    job = await yard.read(claim.job_id)
    assert [output.name for output in job.outputs] == ["three", "one", "two"]
    assert [output.hash for output in job.outputs] == [output.hash.hex() for output in outputs]
    assert [output.size for output in job.outputs] == [5, 3, 3]
