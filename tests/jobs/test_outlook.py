"""A job's place in the queue is true, quick to ask, and capped."""

from atelier.jobs.model import Job
from atelier.jobs.outlook import Outlook
from support.yard import Yard


async def place(yard: Yard, outlook: Outlook, job: Job) -> int | None:
    async with yard.database.transaction() as tx:
        return (await outlook.of(tx, job)).position


async def test_the_place_in_the_queue_follows_class_then_age(yard: Yard) -> None:
    old, young, urgent = await yard.submit(), await yard.submit(), await yard.submit(priority=9)

    outlook = Outlook()

    assert [await place(yard, outlook, job) for job in (urgent, old, young)] == [0, 1, 2]


async def test_a_place_is_capped(yard: Yard) -> None:
    jobs = [await yard.submit() for _ in range(4)]

    assert [await place(yard, Outlook(cap=2), job) for job in jobs] == [0, 1, 2, 2]


async def test_a_job_that_came_after_the_snapshot_stands_at_its_end(yard: Yard) -> None:
    outlook, first = Outlook(), await yard.submit()
    await place(yard, outlook, first)

    assert await place(yard, outlook, await yard.submit()) == 1


async def test_only_what_waits_has_a_place(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    claimed = await yard.read(claim.job_id)
    await yard.running(claim)

    assert await place(yard, Outlook(), claimed) == 0
    assert await place(yard, Outlook(), await yard.read(claim.job_id)) is None
