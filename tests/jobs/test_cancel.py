"""A cancel is obeyed in every state that has not ended, and changes nothing afterwards."""

from atelier.jobs import service
from atelier.jobs.model import Cause, Claim, JobState, Outcome
from support.yard import Yard, kinds, made


async def outcome(yard: Yard, claim: Claim) -> str:
    query = "SELECT outcome FROM attempts WHERE job_id = %s AND number = %s"
    return str(await yard.value(query, claim.job_id, claim.number))


async def test_a_waiting_job_ends_at_once_and_gets_its_credits_back(yard: Yard) -> None:
    job = await yard.submit(price=9)

    canceled = await yard.cancel(job.id)

    assert canceled.state is JobState.CANCELED
    assert canceled.finished_at is not None
    assert kinds(await yard.events(job.id)) == ["queued", "canceled"]
    assert await yard.hold(job.id) == ("released", 0)


async def test_a_waiting_job_that_was_canceled_is_not_claimed(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit()
    wish = await yard.wish(me, job.id)

    await yard.cancel(job.id)

    assert await yard.take(me, wish) == []


async def test_a_claimed_job_waits_for_its_server_to_let_go(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    asked = await yard.cancel(claim.job_id)
    assert asked.state is JobState.CANCELING
    assert await yard.hold(claim.job_id) == ("held", 0)

    async with yard.database.transaction() as tx:
        assert await service.finish_canceled(tx, claim)
    assert (await yard.read(claim.job_id)).state is JobState.CANCELED
    assert kinds(await yard.events(claim.job_id)) == ["queued", "canceling", "canceled"]
    assert await yard.hold(claim.job_id) == ("released", 0)
    assert await outcome(yard, claim) == Outcome.CANCELED


async def test_asking_again_changes_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    first, second = await yard.cancel(claim.job_id), await yard.cancel(claim.job_id)

    assert first == second
    assert kinds(await yard.events(claim.job_id)) == ["queued", "running", "canceling"]


async def test_what_ended_stays_as_it_ended(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    good, bad = await yard.claimed(me), await yard.claimed(me)
    await service.succeed(yard.database, good, [])
    await yard.fail(bad)

    assert (await yard.cancel(good.job_id)).state is JobState.SUCCEEDED
    assert (await yard.cancel(bad.job_id)).state is JobState.FAILED
    assert kinds(await yard.events(good.job_id)) == ["queued", "succeeded"]
    assert await yard.hold(good.job_id) == ("captured", 0)


async def test_a_job_that_is_being_canceled_never_succeeds(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    await yard.keep(b"picture")
    await yard.cancel(claim.job_id)

    assert not await service.succeed(yard.database, claim, [made()])

    assert (await yard.read(claim.job_id)).state is JobState.CANCELING
    assert await yard.value("SELECT count(*) FROM assets") == 0
    assert await yard.value("SELECT state FROM attempts") == "running"


async def test_nobody_can_end_a_job_as_canceled_that_nobody_canceled(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    async with yard.database.transaction() as tx:
        assert not await service.finish_canceled(tx, claim)

    assert (await yard.read(claim.job_id)).state is JobState.CLAIMED


async def test_however_the_attempt_ends_a_job_that_is_being_canceled_ends_canceled(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    failed, lost, withdrawn = [await yard.claimed(me) for _ in range(3)]
    for claim in (failed, lost, withdrawn):
        await yard.cancel(claim.job_id)

    assert await yard.fail(failed)
    async with yard.database.transaction() as tx:
        assert await service.finish_retriable(tx, lost, Cause.SERVER_LOST, was_running=True) is JobState.CANCELED
        assert await service.withdraw(tx, withdrawn)

    for claim in (failed, lost, withdrawn):
        assert (await yard.read(claim.job_id)).state is JobState.CANCELED
        assert await yard.hold(claim.job_id) == ("released", 0)
        assert kinds(await yard.events(claim.job_id))[-1] == "canceled"
    assert [await outcome(yard, claim) for claim in (failed, lost, withdrawn)] == [
        Outcome.CANCELED,
        Outcome.LOST,
        Outcome.WITHDRAWN,
    ]


async def test_a_prompt_that_begins_after_the_cancel_does_not_undo_it(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.cancel(claim.job_id)

    assert await yard.running(claim)

    assert (await yard.read(claim.job_id)).state is JobState.CANCELING
    assert await yard.value("SELECT state FROM attempts") == "running"
    assert kinds(await yard.events(claim.job_id)) == ["queued", "canceling"]


async def test_a_job_that_prepares_is_canceled_at_once(yard: Yard) -> None:
    job = await yard.submit()
    await yard.run("UPDATE jobs SET state = 'preparing'")

    assert (await yard.cancel(job.id)).state is JobState.CANCELED
