"""An attempt ends once, under its own fence; the job follows in the same transaction."""

import asyncio

import psycopg
import pytest

from atelier.jobs import service
from atelier.jobs.model import Cause, Claim, JobError, JobState, Outcome, OutputKind
from atelier.jobs.store import attempts
from atelier.kit.ids import JobId
from support.yard import Yard, blocked, kinds, made


async def lose(
    yard: Yard, claim: Claim, cause: Cause = Cause.SERVER_LOST, *, was_running: bool = False
) -> JobState | None:
    async with yard.database.transaction() as tx:
        return await service.finish_retriable(tx, claim, cause, was_running=was_running)


async def withdraw(yard: Yard, claim: Claim) -> bool:
    async with yard.database.transaction() as tx:
        return await service.withdraw(tx, claim)


async def wait_of(yard: Yard, job_id: JobId) -> float:
    """Seconds until the next try, as they were when the job was put back."""
    return float(
        await yard.value(
            "SELECT extract(epoch FROM not_before - ended_at) FROM jobs j JOIN attempts a"
            " ON a.job_id = j.id AND a.number = j.attempt WHERE j.id = %s",
            job_id,
        )
    )


async def test_success_stores_outputs_captures_the_hold_and_tells_it_in_order(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True, price=70)
    await yard.keep(b"one", b"two")
    outputs = [made(b"one", "one.png"), made(b"two", "two.png", temporary=True)]

    assert await service.succeed(yard.database, claim, outputs)

    job, events = await yard.read(claim.job_id), await yard.events(claim.job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.started_at is not None
    assert job.finished_at is not None
    assert [(output.id, output.name, output.temporary) for output in job.outputs] == [
        (outputs[0].id, "one.png", False),
        (outputs[1].id, "two.png", True),
    ]
    assert kinds(events) == ["queued", "running", "output", "output", "succeeded"]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5] == list(range(1, job.event_seq + 1))
    assert [event.terminal for event in events] == [False] * 4 + [True]
    assert events[2].data == {
        "id": str(outputs[0].id),
        "node_id": "9",
        "name": "one.png",
        "kind": OutputKind.IMAGE,
        "content_type": "image/png",
        "size": 3,
        "hash": outputs[0].hash.hex(),
        "temporary": False,
    }
    assert await yard.hold(claim.job_id) == ("captured", 70)
    assert await yard.rows("SELECT state, outcome FROM attempts") == [("ended", "succeeded")]


async def test_an_output_is_an_asset_of_the_account_for_as_long_as_the_job_is_kept(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.keep(b"picture")
    await yard.run("UPDATE blobs SET marked_at = now()")
    output = made()

    await service.succeed(yard.database, claim, [output])

    [row] = await yard.rows("SELECT id, account_id, hash, file_path, job_id FROM assets")
    assert row == (output.id, yard.account_id, output.hash, output.name, claim.job_id)
    assert await yard.value("SELECT expires_at FROM assets") == (await yard.read(claim.job_id)).keep_until
    assert await yard.value("SELECT marked_at FROM blobs") is None


async def test_a_job_without_outputs_succeeds_too(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    assert await service.succeed(yard.database, claim, [])

    assert kinds(await yard.events(claim.job_id)) == ["queued", "succeeded"]
    assert (await yard.read(claim.job_id)).outputs == ()


async def test_success_asked_for_again_changes_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.keep(b"picture")
    await service.succeed(yard.database, claim, [made()])

    assert not await service.succeed(yard.database, claim, [made()])

    assert kinds(await yard.events(claim.job_id)) == ["queued", "output", "succeeded"]
    assert await yard.value("SELECT count(*) FROM assets") == 1


async def test_outputs_whose_bytes_are_unknown_end_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await service.succeed(yard.database, claim, [made(b"never stored")])

    assert (await yard.read(claim.job_id)).state is JobState.CLAIMED
    assert await yard.hold(claim.job_id) == ("held", 0)


async def test_under_an_old_fence_nothing_changes(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.run("UPDATE attempts SET fence = fence + 1")
    everything = "SELECT jobs::text, attempts::text FROM jobs JOIN attempts ON job_id = id"
    before = await yard.rows(everything)

    assert not await yard.running(claim)
    assert not await service.succeed(yard.database, claim, [])
    assert not await yard.fail(claim)
    assert not await withdraw(yard, claim)
    assert await lose(yard, claim) is None
    assert await yard.rows(everything) == before

    await yard.cancel(claim.job_id)
    async with yard.database.transaction() as tx:
        assert not await service.finish_canceled(tx, claim)

    assert (await yard.read(claim.job_id)).state is JobState.CANCELING
    assert await yard.value("SELECT state FROM attempts") == "claimed"


async def test_a_take_over_that_commits_while_success_waits_wins(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    async with (
        await yard.database.connect() as mine,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as take_over,
    ):
        await take_over.execute("UPDATE attempts SET fence = fence + 1")
        ending = group.create_task(attempts.succeed(mine, claim, []))
        await blocked(take_over, mine.info.backend_pid)

    assert ending.result() is False
    assert (await yard.read(claim.job_id)).state is JobState.RUNNING


async def test_a_cancel_that_commits_while_success_waits_wins(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    await yard.keep(b"picture")

    async with (
        await yard.database.connect() as mine,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as cancel,
    ):
        await service.cancel(cancel, yard.account_id, claim.job_id)
        ending = group.create_task(attempts.succeed(mine, claim, [made()]))
        await blocked(cancel, mine.info.backend_pid)

    assert ending.result() is False
    assert (await yard.read(claim.job_id)).state is JobState.CANCELING
    assert await yard.value("SELECT count(*) FROM assets") == 0


async def test_a_success_that_commits_while_the_cancel_waits_wins(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True, price=3)

    async with (
        await yard.database.connect() as mine,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as success,
    ):
        assert await attempts.succeed(success, claim, [])
        canceling = group.create_task(service.cancel(mine, yard.account_id, claim.job_id))
        await blocked(success, mine.info.backend_pid)

    assert canceling.result().state is JobState.SUCCEEDED
    assert await yard.hold(claim.job_id) == ("captured", 3)


async def test_events_written_at_the_same_time_leave_no_hole(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    async with (
        await yard.database.connect() as mine,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as start,
    ):
        assert await attempts.running(start, claim)
        canceling = group.create_task(service.cancel(mine, yard.account_id, claim.job_id))
        await blocked(start, mine.info.backend_pid)

    assert canceling.result().state is JobState.CANCELING
    events = await yard.events(claim.job_id)
    assert [event.seq for event in events] == [1, 2, 3]
    assert kinds(events) == ["queued", "running", "canceling"]


async def test_a_failed_graph_is_not_tried_again_and_costs_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True, price=9)
    error = JobError("node_execution_error", "KSampler failed.", "3", "KSampler", "Traceback")

    async with yard.database.transaction() as tx:
        assert await service.finish_failed(tx, claim, Outcome.FAILED, error, {"exception": "boom"})

    job, events = await yard.read(claim.job_id), await yard.events(claim.job_id)
    assert job.state is JobState.FAILED
    assert job.error == error
    assert job.tries == 0
    assert events[-1].data == {"state": "failed", "error": error.as_json()}
    assert [event.terminal for event in events] == [False, False, True]
    assert await yard.hold(claim.job_id) == ("released", 0)
    assert await yard.rows("SELECT outcome, evidence FROM attempts") == [("failed", {"exception": "boom"})]


async def test_an_infrastructure_failure_is_tried_again_after_2_and_4_seconds_and_then_given_up(
    yard: Yard,
) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit(price=9)

    assert await lose(yard, await yard.claim(me, job.id), Cause.STORAGE) is JobState.QUEUED
    assert await wait_of(yard, job.id) == 2
    assert await lose(yard, await yard.claim(me, job.id, number=2), Cause.OUT_OF_MEMORY) is JobState.QUEUED
    assert await wait_of(yard, job.id) == 4
    assert await yard.hold(job.id) == ("held", 0)
    assert await lose(yard, await yard.claim(me, job.id, number=3), Cause.OUTPUT_GONE) is JobState.FAILED

    ended, events = await yard.read(job.id), await yard.events(job.id)
    assert ended.tries == 3
    assert ended.error is not None
    assert ended.error.code == "output_gone"
    assert kinds(events) == ["queued", "retry", "retry", "failed"]
    assert events[1].data == {"attempt": 1, "reason": "its outputs could not be stored", "delay": 2.0}
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert await yard.hold(job.id) == ("released", 0)
    assert await yard.rows("SELECT outcome, evidence ->> 'cause' FROM attempts ORDER BY number") == [
        ("lost", "storage"),
        ("out_of_memory", "out_of_memory"),
        ("lost", "output_gone"),
    ]


async def test_a_job_keeps_its_place_when_it_is_tried_again(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    first, second = await yard.submit(), await yard.submit()
    await lose(yard, await yard.claim(me, first.id))
    await yard.run("UPDATE jobs SET not_before = now()")

    heads = await yard.heads()

    assert [head.job_id for head in heads] == [first.id, second.id]


async def test_a_job_that_two_servers_died_of_is_poison(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit()
    claim = await yard.claim(me, job.id)
    assert await lose(yard, claim, was_running=True) is JobState.QUEUED

    second = await lose(yard, await yard.claim(me, job.id, number=2), Cause.PROMPT_GONE, was_running=True)

    ended = await yard.read(job.id)
    assert second is JobState.FAILED
    assert ended.error is not None
    assert ended.error.code == "poison"


async def test_a_prompt_that_only_waited_on_a_dying_server_is_innocent(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit()

    for number in (1, 2):
        assert await lose(yard, await yard.claim(me, job.id, number=number)) is JobState.QUEUED

    assert await yard.value("SELECT server_deaths FROM jobs") == 0


async def test_a_withdrawn_prompt_was_never_there(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await yard.submit()

    for number in range(1, 6):
        assert await withdraw(yard, await yard.claim(me, job.id, number=number))

    assert await yard.rows("SELECT state, tries, server_deaths, dispatcher_losses FROM jobs") == [
        ("queued", 0, 0, 0)
    ]
    assert await wait_of(yard, job.id) == 0
    assert kinds(await yard.events(job.id)) == ["queued"]
    assert (await yard.claim(me, job.id, number=6)).number == 6


async def test_a_prompt_that_begins_twice_is_told_once(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)

    assert await yard.running(claim)
    assert not await yard.running(claim)

    assert kinds(await yard.events(claim.job_id)) == ["queued", "running"]


async def test_a_prompt_that_begins_after_its_end_is_not_told(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.fail(claim)

    assert not await yard.running(claim)

    assert (await yard.read(claim.job_id)).state is JobState.FAILED


async def test_the_database_itself_refuses_a_second_end(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.fail(claim)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await yard.run(
            "INSERT INTO job_events (job_day, job_id, seq, kind, terminal)"
            " SELECT job_day, job_id, 9, 'status', true FROM job_events WHERE terminal"
        )


@pytest.mark.parametrize("good", [True, False])
async def test_the_keys_for_partner_nodes_are_forgotten_when_their_job_has_ended(
    yard: Yard, *, good: bool
) -> None:
    claim = await yard.claimed(
        await yard.dispatcher_with_server(), secrets={"api_key_comfy_org": "a partner's key"}
    )

    ended = await (service.succeed(yard.database, claim, []) if good else yard.fail(claim))

    assert ended
    assert claim.secrets == {"api_key_comfy_org": "a partner's key"}
    assert await yard.value("SELECT secrets FROM jobs WHERE id = %s", claim.job_id) is None


async def test_the_keys_of_a_job_that_is_canceled_while_it_waits_are_forgotten(yard: Yard) -> None:
    job = await yard.submit(secrets={"api_key_comfy_org": "a partner's key"})

    await yard.cancel(job.id)

    assert await yard.value("SELECT secrets FROM jobs WHERE id = %s", job.id) is None


@pytest.mark.parametrize(
    ("cause", "avoided"),
    [(Cause.OUT_OF_MEMORY, ["server-1"]), (Cause.UPLOAD_FAILED, ["server-1"]), (Cause.STORAGE, [])],
)
async def test_the_next_try_avoids_a_server_that_failed_it(yard: Yard, cause: Cause, avoided: list[str]) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    async with yard.database.transaction() as tx:
        await service.finish_retriable(tx, claim, cause, was_running=True, vram=8 * 1024**3)

    assert await yard.value("SELECT avoid FROM jobs WHERE id = %s", claim.job_id) == avoided
    assert await yard.value("SELECT vram_over FROM jobs WHERE id = %s", claim.job_id) == 8 * 1024**3


async def test_a_server_that_failed_a_job_twice_is_named_once(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await lose(yard, claim, Cause.OUT_OF_MEMORY)
    [again] = await yard.take(me, await yard.wish(me, claim.job_id, number=2))

    await lose(yard, again, Cause.SERVER_LOST)

    assert await yard.value("SELECT avoid FROM jobs WHERE id = %s", claim.job_id) == ["server-1"]


async def test_a_job_that_is_given_up_lies_with_the_dead_letters(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    await yard.run("UPDATE jobs SET server_deaths = 1, tries = 1 WHERE id = %s", claim.job_id)

    state = await lose(yard, claim, was_running=True)

    assert state is JobState.FAILED
    assert await yard.value("SELECT code FROM dead_letters WHERE job_id = %s", claim.job_id) == "poison"


async def test_a_job_that_its_owner_cancels_is_no_dead_letter(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    await yard.run("UPDATE jobs SET tries = 2 WHERE id = %s", claim.job_id)
    await yard.cancel(claim.job_id)

    state = await lose(yard, claim)

    assert state is JobState.CANCELED
    assert await yard.value("SELECT count(*) FROM dead_letters") == 0


async def test_a_job_that_left_a_quarantined_server_tells_why_and_counts_no_try(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    async with yard.database.transaction() as tx:
        await service.withdraw(tx, claim, "its server was quarantined")

    job, events = await yard.read(claim.job_id), await yard.events(claim.job_id)
    assert (job.state, job.tries) == (JobState.QUEUED, 0)
    assert events[-1].kind == "retry"
    assert events[-1].data == {"attempt": 1, "reason": "its server was quarantined", "delay": 0.0}
