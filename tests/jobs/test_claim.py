"""A job is taken once, by a dispatcher that holds the server's lease, and charged to whom it belongs."""

import asyncio
import dataclasses
from typing import Any

import psycopg
import pytest

from atelier.jobs import rules, service
from atelier.jobs.model import Cause, Claim, JobState, Limits, Wish
from atelier.jobs.prompt import Prompt, Told
from atelier.jobs.store import claims
from atelier.kit.ids import DispatcherId, JobId, ServerId, new_uuid
from support.yard import Yard, blocked, kinds


async def test_a_claim_makes_an_attempt_under_the_fence(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit(graph_text='{"1": {}}', secrets={"api_key": "secret"}, priority=6, lane="flux")

    claim = await yard.claim(me, job.id)

    assert claim == Claim(
        job_id=job.id,
        account_id=yard.account_id,
        number=1,
        prompt_id=rules.prompt_id(job.id, 1),
        server_id=ServerId("server-1"),
        fence=1,
        graph_text='{"1": {}}',
        shape=b"shape",
        lane="flux",
        priority=6,
        secrets={"api_key": "secret"},
        requirement_id=yard.requirement_id,
    )
    assert (await yard.read(job.id)).state is JobState.CLAIMED
    assert (await yard.read(job.id)).state.shown is JobState.QUEUED
    assert kinds(await yard.events(job.id)) == ["queued"]


async def test_an_empty_wish_takes_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()

    assert await yard.take(me) == []


async def test_many_wishes_are_granted_by_one_statement(yard: Yard) -> None:
    for name in ("server-1", "server-2"):
        await yard.server(name)
    me = await yard.dispatcher()
    jobs = [await yard.submit() for _ in range(2)]
    wishes = [
        await yard.wish(me, job.id, server) for job, server in zip(jobs, ("server-2", "server-1"), strict=True)
    ]

    taken = await yard.take(me, *wishes)

    assert {claim.job_id: claim.server_id for claim in taken} == {
        jobs[0].id: "server-2",
        jobs[1].id: "server-1",
    }


async def test_a_job_is_claimed_once(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wish = await yard.wish(me, (await yard.submit()).id)

    assert len(await yard.take(me, wish)) == 1
    assert await yard.take(me, wish) == []


async def test_the_claim_of_an_earlier_round_is_refused(yard: Yard) -> None:
    """The head was read before the job was claimed, failed and came back: its number gives it away."""
    me = await yard.dispatcher_with_server()
    job = await yard.submit()
    stale = await yard.wish(me, job.id)
    claim = await yard.claim(me, job.id)
    async with yard.database.transaction() as tx:
        await service.finish_retriable(tx, claim, Cause.SERVER_LOST, was_running=False)

    assert await yard.take(me, stale) == []
    assert len(await yard.take(me, await yard.wish(me, job.id, number=2))) == 1


async def test_a_claim_under_another_fence_is_refused(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wish = await yard.wish(me, (await yard.submit()).id)
    await yard.run("UPDATE leases SET fence = fence + 1")

    assert await yard.take(me, wish) == []


async def test_a_claim_for_a_server_of_somebody_else_is_refused(yard: Yard) -> None:
    owner = await yard.dispatcher_with_server()
    stranger = await yard.dispatcher(most=0)
    wish = await yard.wish(owner, (await yard.submit()).id)

    assert await yard.take(stranger, wish) == []
    assert len(await yard.take(owner, wish)) == 1


async def test_a_dispatcher_whose_time_ran_out_claims_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wish = await yard.wish(me, (await yard.submit()).id)
    await yard.beat(me, -0.001)

    assert await yard.take(me, wish) == []

    await yard.beat(me)
    assert len(await yard.take(me, wish)) == 1


async def test_a_dispatcher_that_left_claims_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wish = await yard.wish(me, (await yard.submit()).id)
    await yard.run("DELETE FROM dispatchers")

    assert await yard.take(me, wish) == []


async def test_the_database_itself_refuses_a_second_live_attempt(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    with pytest.raises(psycopg.errors.UniqueViolation, match="attempts_live_job"):
        await yard.run(
            "INSERT INTO attempts (job_id, number, prompt_id, server_id, fence) VALUES (%s, 2, %s, 'server-1', 1)",
            claim.job_id,
            new_uuid(),
        )


async def test_a_job_that_another_connection_is_taking_is_skipped_and_the_next_one_taken(yard: Yard) -> None:
    for name in ("server-1", "server-2"):
        await yard.server(name)
    first, second = await yard.dispatcher(most=1), await yard.dispatcher(most=1)
    jobs = [await yard.submit(end_user=user) for user in ("ann", "bob")]
    mine = [await yard.wish(first, jobs[0].id, "server-1")]
    theirs = [await yard.wish(second, job.id, "server-2") for job in jobs]

    async with yard.database.transaction() as tx:
        await claims.claim(tx, first, mine)
        async with asyncio.timeout(5):
            taken = await yard.take(second, *theirs)

    assert [claim.job_id for claim in taken] == [jobs[1].id]


async def test_of_many_who_race_for_the_same_jobs_each_job_goes_to_one(yard: Yard) -> None:
    names = [f"server-{number}" for number in range(4)]
    for name in names:
        await yard.server(name)
    dispatchers = [await yard.dispatcher(most=1) for _ in names]
    jobs = [await yard.submit() for _ in range(10)]
    wishes = [
        [await yard.wish(me, job.id, server) for job in jobs]
        for me, server in zip(dispatchers, names, strict=True)
    ]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(yard.take(me, *wanted)) for me, wanted in zip(dispatchers, wishes, strict=True)]

    taken = [claim.job_id for task in tasks for claim in task.result()]
    assert sorted(taken) == sorted(job.id for job in jobs)
    assert await yard.value("SELECT count(*) FROM attempts") == 10


async def test_a_claim_that_meets_a_take_over_waits_for_it_and_takes_what_is_left(yard: Yard) -> None:
    """All leases are locked before any job, so the two cannot wait for one another."""
    for name in ("server-1", "server-2"):
        await yard.server(name)
    me, other = await yard.dispatcher(), await yard.dispatcher()
    jobs = [await yard.submit() for _ in range(2)]
    wishes = [
        await yard.wish(me, job.id, server) for job, server in zip(jobs, ("server-1", "server-2"), strict=True)
    ]

    async with (
        await yard.database.connect() as mine,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as take_over,
    ):
        await take_over.execute(
            "UPDATE leases SET dispatcher_id = %s, fence = fence + 1 WHERE server_id = 'server-2'", (other,)
        )
        claiming = group.create_task(claims.claim(mine, me, wishes))
        await blocked(take_over, mine.info.backend_pid)
        rows = await take_over.execute("SELECT id FROM jobs FOR UPDATE SKIP LOCKED")
        assert len(await rows.fetchall()) == 2

    assert [claim.server_id for claim in claiming.result()] == ["server-1"]


async def test_the_living_are_listed_oldest_first_under_their_fence(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    first, second, ended = [await yard.claimed(me) for _ in range(3)]
    await yard.running(first)
    await yard.cancel(first.job_id)
    await yard.fail(ended)

    async with yard.database.transaction() as tx:
        living = await service.adopt(tx, ServerId("server-1"), 1)
        nobody = await service.adopt(tx, ServerId("server-1"), 2)

    assert [claim.job_id for claim in living] == [first.job_id, second.job_id]
    assert [(claim.canceling, claim.attempt_state) for claim in living] == [(True, "running"), (False, "claimed")]
    assert nobody == []


async def test_only_prompts_of_ours_that_ended_are_dead(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    living, ended = await yard.claimed(me), await yard.claimed(me)
    await yard.fail(ended)

    async with yard.database.transaction() as tx:
        dead = await claims.dead_prompts(tx, [living.prompt_id, ended.prompt_id, new_uuid()])

    assert dead == {ended.prompt_id}


async def test_the_cancels_among_the_jobs_of_a_dispatcher_are_found(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wanted, other = await yard.claimed(me), await yard.claimed(me)
    await yard.cancel(wanted.job_id)

    async with yard.database.transaction() as tx:
        assert await claims.canceling(tx, [wanted.job_id, other.job_id, JobId(new_uuid())]) == {wanted.job_id}


async def test_a_prompt_id_is_the_same_for_everybody_who_computes_it() -> None:
    job_id = JobId(new_uuid())

    assert rules.prompt_id(job_id, 1) == rules.prompt_id(job_id, 1)
    assert rules.prompt_id(job_id, 1) != rules.prompt_id(job_id, 2)
    assert str(rules.prompt_id(job_id, 1)).islower() or str(rules.prompt_id(job_id, 1)).isdigit()


# Shares -----------------------------------------------------------------------------------------


async def charged(yard: Yard, me: DispatcherId, job_id: JobId, *, cost: float, base: float = 0.0) -> None:
    wish = dataclasses.replace(await yard.wish(me, job_id), cost=cost, base=base)
    assert len(await yard.take(me, wish)) == 1


async def shares(yard: Yard) -> list[tuple[int, str, float, float]]:
    """Class, end user, virtual time, and what that was before the newest job."""
    return await yard.rows(
        "SELECT priority, end_user, virtual_time, started FROM shares ORDER BY priority, account_id, end_user"
    )


async def test_each_claim_advances_the_share_of_its_party(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    for cost in (2.0, 3.0):
        await charged(yard, me, (await yard.submit()).id, cost=cost)
    await charged(yard, me, (await yard.submit(priority=9)).id, cost=7.0)
    await charged(yard, me, (await yard.submit(end_user="ann")).id, cost=1.0)

    assert await shares(yard) == [(5, "", 5.0, 2.0), (5, "ann", 1.0, 0.0), (9, "", 7.0, 0.0)]


async def test_a_party_is_charged_from_its_base_at_least(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await charged(yard, me, (await yard.submit()).id, cost=1.0, base=100.0)

    assert await shares(yard) == [(5, "", 101.0, 100.0)]

    await charged(yard, me, (await yard.submit()).id, cost=1.0, base=50.0)

    assert await shares(yard) == [(5, "", 102.0, 101.0)]

    await charged(yard, me, (await yard.submit()).id, cost=1.0, base=200.0)

    assert await shares(yard) == [(5, "", 201.0, 200.0)]


async def test_one_claim_of_many_jobs_charges_each_party_once(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    jobs = [await yard.submit(end_user=user) for user in ("bob", "ann", "bob")]
    wishes = [dataclasses.replace(await yard.wish(me, job.id), cost=2.0, base=10.0) for job in jobs]

    assert len(await yard.take(me, *wishes)) == 3
    assert await shares(yard) == [(5, "ann", 12.0, 10.0), (5, "bob", 14.0, 10.0)]


async def test_what_was_not_taken_is_not_charged(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wish = dataclasses.replace(await yard.wish(me, (await yard.submit()).id), cost=1.0)

    await yard.take(me, dataclasses.replace(wish, fence=7))
    assert await shares(yard) == []

    await yard.take(me, wish)
    await yard.take(me, wish)
    assert await shares(yard) == [(5, "", 1.0, 0.0)]


async def test_shares_of_the_long_idle_are_forgotten_but_never_how_far_their_class_has_come(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    for user, base in (("old", 1.0), ("clock", 50.0), ("new", 2.0)):
        await charged(yard, me, (await yard.submit(end_user=user)).id, cost=1.0, base=base)
    await yard.run("UPDATE shares SET updated_at = now() - interval '31 days' WHERE end_user <> 'new'")

    async with yard.database.transaction() as tx:
        assert await claims.forget_shares(tx) == 1

    assert [user for _, user, *_ in await shares(yard)] == ["clock", "new"]


# Running limits ---------------------------------------------------------------------------------


async def wishes_of(yard: Yard, me: DispatcherId, *end_users: str, **changes: Any) -> list[Wish]:
    return [await yard.wish(me, (await yard.submit(end_user=user, **changes)).id) for user in end_users]


async def test_a_running_limit_is_never_passed_and_earlier_wishes_come_first(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wishes = await wishes_of(yard, me, "", "ann", "", "ann", "", "")

    taken = await yard.take_within(me, Limits(per_account=2), *wishes)

    assert {claim.job_id for claim in taken} == {wishes[place].job_id for place in (0, 1, 2, 3)}
    assert await yard.take_within(me, Limits(per_account=2), *wishes) == []


async def test_the_fleets_limit_counts_everybody_and_what_waits_on_a_server(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.claimed(me, running=True)
    canceling = await yard.claimed(me)
    await yard.cancel(canceling.job_id)
    wishes = await wishes_of(yard, me, "", "ann", "bob")

    taken = await yard.take_within(me, Limits(in_all=4), *wishes)

    assert {claim.job_id for claim in taken} == {wish.job_id for wish in wishes[:2]}


async def test_what_an_account_may_run_wins_over_the_setting(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    wishes = await wishes_of(yard, me, "", "", "")
    await yard.run("UPDATE accounts SET max_running = 1")

    assert len(await yard.take_within(me, Limits(per_account=2), *wishes)) == 1

    await yard.run("UPDATE accounts SET max_running = 0")
    assert len(await yard.take_within(me, Limits(per_account=1), *wishes)) == 2


async def test_a_running_limit_holds_whoever_claims_at_the_same_moment(yard: Yard) -> None:
    names = [f"server-{number}" for number in range(4)]
    for name in names:
        await yard.server(name)
    dispatchers = [await yard.dispatcher(most=1) for _ in names]
    jobs = [await yard.submit() for _ in range(12)]
    wishes = [
        [await yard.wish(me, job.id, server) for job in jobs[place::4]]
        for place, (me, server) in enumerate(zip(dispatchers, names, strict=True))
    ]

    async with asyncio.TaskGroup() as group:
        for me, wanted in zip(dispatchers, wishes, strict=True):
            group.create_task(yard.take_within(me, Limits(in_all=5, per_account=7), *wanted))

    assert await yard.value("SELECT count(*) FROM attempts") == 5


async def test_what_a_server_was_given_in_the_last_minute_is_known_to_whoever_takes_it_over(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.claimed(me)
    await yard.claimed(me)
    await yard.run(
        "UPDATE attempts SET claimed_at = now() - interval '50 s' WHERE number = 1 AND state = 'claimed'"
    )
    old = await yard.claimed(me)
    await yard.run("UPDATE attempts SET claimed_at = now() - interval '61 s' WHERE job_id = %s", old.job_id)

    async with yard.database.autocommit() as tx:
        lately = await claims.lately(tx, ServerId("server-1"))

    assert [round(ago) for ago in lately] == [50, 50]


async def test_a_claim_of_a_prompt_tells_what_its_client_knows(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    prompt, chosen = Prompt("me", {"a": 1}, ("9",), {"1": {"image": "x.png"}}), new_uuid()
    job = await yard.submit(prompt=prompt, native_prompt_id=chosen)
    unnamed = await yard.submit(prompt=Prompt())

    claims = [await yard.claim(me, one.id) for one in (job, unnamed)]

    assert claims[0].told == Told(str(chosen), job.position, prompt)
    assert claims[1].told == Told(str(unnamed.id), unnamed.position, Prompt())


async def test_a_later_attempt_knows_that_an_earlier_one_had_begun(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    began, never = await yard.claimed(me, running=True, prompt=Prompt()), await yard.claimed(me, prompt=Prompt())
    async with yard.database.transaction() as tx:
        for claim in (began, never):
            assert await service.withdraw(tx, claim)

    again = [await yard.claim(me, claim.job_id, number=2) for claim in (began, never)]

    assert [claim.told.began for claim in again if claim.told] == [True, False]
