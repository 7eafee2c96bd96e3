"""A job is taken once, by a dispatcher that holds the server's lease, in the order of class and age."""

import asyncio

import psycopg
import pytest

from atelier.jobs import rules, service
from atelier.jobs.model import Cause, Claim, Head, JobState
from atelier.jobs.store import claims
from atelier.kit.ids import JobId, ServerId, new_uuid
from support.yard import Yard, blocked, kinds, requirement


async def heads(yard: Yard, *, refused: tuple[int, ...] = (), each: int = 10, most: int = 100) -> list[Head]:
    async with yard.database.transaction() as tx:
        return await claims.heads(tx, refused=refused, each=each, most=most)


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


async def test_heads_come_by_class_then_age(yard: Yard) -> None:
    other = await requirement(yard.database, "KSampler")
    jobs = [
        await yard.submit(priority=5),
        await yard.submit(priority=5, requirement_id=other),
        await yard.submit(priority=9),
        await yard.submit(priority=1, requirement_id=other),
        await yard.submit(priority=5),
    ]

    found = await heads(yard)

    assert [head.job_id for head in found] == [jobs[number].id for number in (2, 0, 1, 4, 3)]
    assert found[0].attempt == 0


async def test_every_requirement_set_has_its_own_front(yard: Yard) -> None:
    """Many jobs that no server can take must not hide the one that some server can."""
    other = await requirement(yard.database, "KSampler")
    for _ in range(5):
        await yard.submit(priority=9)
    job = await yard.submit(requirement_id=other)

    found = await heads(yard, each=2)

    assert [head.requirement_id for head in found] == [yard.requirement_id, yard.requirement_id, other]
    assert found[-1].job_id == job.id


async def test_refused_requirement_sets_are_left_out(yard: Yard) -> None:
    other = await requirement(yard.database, "KSampler")
    third = await requirement(yard.database, "VAEDecode")
    await yard.submit()
    job = await yard.submit(requirement_id=third)
    await yard.submit(requirement_id=other)

    found = await heads(yard, refused=(yard.requirement_id, other))

    assert [head.job_id for head in found] == [job.id]


async def test_heads_are_bounded_and_the_best_remain(yard: Yard) -> None:
    await yard.submit(priority=1)
    best = await yard.submit(priority=8)

    assert [head.job_id for head in await heads(yard, most=1)] == [best.id]


async def test_a_job_that_waits_for_its_next_try_is_passed_over(yard: Yard) -> None:
    waits, ready = await yard.submit(priority=9), await yard.submit()
    await yard.run("UPDATE jobs SET not_before = now() + interval '2 s' WHERE id = %s", waits.id)

    assert [head.job_id for head in await heads(yard)] == [ready.id]

    await yard.run("UPDATE jobs SET not_before = now() - interval '1 ms' WHERE id = %s", waits.id)
    assert [head.job_id for head in await heads(yard)] == [waits.id, ready.id]


async def test_an_empty_queue_has_no_heads_and_an_empty_wish_takes_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()

    assert await heads(yard) == []
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
    jobs = [await yard.submit() for _ in range(2)]
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
