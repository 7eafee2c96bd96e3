"""Whoever takes a server over goes on with what lives there, unless it has cost too many dispatchers."""

from atelier.jobs import service
from atelier.jobs.model import Claim, JobState
from atelier.jobs.prompt import Prompt
from atelier.kit.ids import DispatcherId
from support.yard import SERVER, Yard, kinds


async def take_over(yard: Yard, holder: DispatcherId) -> tuple[DispatcherId, list[Claim]]:
    """The holder dies, another comes."""
    await yard.beat(holder, -1)
    heir = await yard.dispatcher()
    fence = (await yard.fences(heir))[SERVER]
    async with yard.database.transaction() as tx:
        return heir, await service.adopt(tx, SERVER, fence)


async def test_the_heir_goes_on_under_its_own_fence(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    claim = await yard.claimed(holder, running=True)

    _, [adopted] = await take_over(yard, holder)

    assert (adopted.job_id, adopted.number, adopted.prompt_id) == (claim.job_id, 1, claim.prompt_id)
    assert adopted.fence == claim.fence + 1
    assert not await service.succeed(yard.database, claim, [])
    assert await service.succeed(yard.database, adopted, [])


async def test_a_job_that_cost_three_dispatchers_ends(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True, price=5)
    for _ in range(2):
        me, living = await take_over(yard, me)
        assert [one.job_id for one in living] == [claim.job_id]

    me, living = await take_over(yard, me)

    job = await yard.read(claim.job_id)
    assert living == []
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "dispatcher_lost"
    assert kinds(await yard.events(job.id)) == ["queued", "running", "failed"]
    assert await yard.hold(job.id) == ("released", 0)
    assert await yard.rows("SELECT state, outcome FROM attempts") == [("ended", "lost")]


async def test_a_job_that_was_to_be_canceled_ends_canceled_also_then(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    await yard.cancel(claim.job_id)
    for _ in range(3):
        me, _ = await take_over(yard, me)

    assert (await yard.read(claim.job_id)).state is JobState.CANCELED


async def test_dispatchers_that_left_in_good_order_are_not_held_against_the_job(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    for _ in range(5):
        await yard.leave(me)
        me = await yard.dispatcher()

    async with yard.database.transaction() as tx:
        assert [one.job_id for one in await service.adopt(tx, SERVER, 6)] == [claim.job_id]


async def test_the_heir_knows_what_the_client_knows(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    running = await yard.claimed(holder, running=True, prompt=Prompt("me"))
    held = await yard.claimed(holder, prompt=Prompt("me"))
    again = await yard.claimed(holder, running=True, prompt=Prompt("me"))
    async with yard.database.transaction() as tx:
        await service.withdraw(tx, again)
    again = await yard.claim(holder, again.job_id, number=2)
    await yard.running(again)

    _, living = await take_over(yard, holder)

    assert {one.job_id: one.told.began for one in living if one.told} == {
        running.job_id: False,
        held.job_id: False,
        again.job_id: True,
    }
    assert {one.told.prompt.client_id for one in living if one.told} == {"me"}
