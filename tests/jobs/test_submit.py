"""A submit stands or falls as a whole, and its idempotency key is used once in 24 hours."""

import asyncio
import uuid

import psycopg
import pytest

from atelier.jobs import service
from atelier.jobs.model import IdempotencyKey, Job, JobState
from atelier.jobs.prompt import Prompt
from atelier.jobs.service import DuplicatePrompt, IdempotencyKeyReused, QueueBounds, QueueFull
from atelier.jobs.store import sweep
from atelier.kit.database import Database
from atelier.kit.errors import Kind
from atelier.kit.ids import AccountId, AssetId, new_uuid
from support.yard import Yard, kinds

KEY = IdempotencyKey("order-1", b"h" * 32)
TABLES = ("jobs", "graphs", "holds", "job_events", "job_inputs", "idempotency_keys", "native_prompts")


async def counted(yard: Yard) -> dict[str, int]:
    return {table: await yard.value(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608 - fixed names


async def test_an_accepted_job_waits_with_its_hold_its_inputs_and_its_first_event(yard: Yard) -> None:
    asset = AssetId(new_uuid())

    job = await yard.submit(price=250, inputs=(asset,), metadata={"project": "sea"}, priority=7)

    assert job == await yard.read(job.id)
    assert (job.state, job.priority, job.metadata) == (JobState.QUEUED, 7, {"project": "sea"})
    assert await yard.hold(job.id) == ("held", 0)
    assert await yard.value("SELECT amount FROM holds") == 250
    assert await yard.value("SELECT asset_id FROM job_inputs WHERE job_id = %s", job.id) == asset
    assert [(event.seq, event.kind, event.terminal, event.data) for event in await yard.events(job.id)] == [
        (1, "status", False, {"state": "queued"})
    ]


async def test_what_submit_answers_is_what_is_read_afterwards(yard: Yard) -> None:
    job = await yard.submit()

    assert (job.keep_until - job.created_at).total_seconds() == 3600
    assert await yard.read(job.id) == job


async def test_a_graph_is_stored_once(yard: Yard) -> None:
    first, second = await yard.submit(), await yard.submit()

    assert await yard.value("SELECT count(*) FROM graphs") == 1
    async with yard.database.transaction() as tx:
        assert await service.graph(tx, yard.account_id, first.id) == {}
        assert await service.graph(tx, yard.account_id, second.id) == {}


async def test_many_may_submit_the_same_new_graph_at_once(yard: Yard) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(yard.submit()) for _ in range(8)]

    assert len({task.result().id for task in tasks}) == 8
    assert await yard.value("SELECT count(*) FROM graphs") == 1


async def test_a_used_key_is_refused_and_nothing_is_left_of_the_refused(yard: Yard) -> None:
    await yard.submit(idempotency=KEY)
    before = await counted(yard)

    with pytest.raises(IdempotencyKeyReused) as refused:
        await yard.submit(idempotency=KEY, graph_digest=b"another graph", graph_text='{"1": {}}')

    assert refused.value.kind is Kind.UNPROCESSABLE
    assert await counted(yard) == before


async def test_a_refusal_inside_autocommit_leaves_nothing_either(yard: Yard) -> None:
    await yard.submit(idempotency=KEY)
    before = await counted(yard)

    async with yard.database.autocommit() as connection:
        with pytest.raises(IdempotencyKeyReused):
            await service.submit(connection, yard.job(idempotency=KEY, graph_digest=b"another", graph_text="{}"))

    assert await counted(yard) == before


async def test_a_used_key_is_refused_with_another_body_too(yard: Yard) -> None:
    await yard.submit(idempotency=KEY)

    with pytest.raises(IdempotencyKeyReused):
        await yard.submit(idempotency=IdempotencyKey(KEY.key, b"other" * 6))


async def test_of_many_with_one_key_exactly_one_is_accepted(yard: Yard) -> None:
    async def attempt() -> Job | None:
        try:
            return await yard.submit(idempotency=KEY)
        except IdempotencyKeyReused:
            return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt()) for _ in range(8)]

    accepted = [job for task in tasks if (job := task.result()) is not None]
    assert len(accepted) == 1
    assert await yard.value("SELECT job_id FROM idempotency_keys") == accepted[0].id
    assert await yard.value("SELECT count(*) FROM jobs") == 1


@pytest.mark.parametrize(
    "other",
    [{"account_id": AccountId(uuid.UUID(int=1))}, {"end_user": "somebody"}, {"dialect": "another"}],
    ids=["account", "end user", "dialect"],
)
async def test_the_same_key_of_somebody_else_is_another_key(yard: Yard, other: dict[str, object]) -> None:
    await yard.submit(idempotency=KEY)

    await yard.submit(idempotency=KEY, **other)

    assert await yard.value("SELECT count(*) FROM jobs") == 2


async def test_a_key_is_forgotten_after_24_hours(yard: Yard) -> None:
    await yard.submit(idempotency=KEY)
    await yard.run("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
    with pytest.raises(IdempotencyKeyReused):
        await yard.submit(idempotency=KEY)

    await yard.run("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute'")
    job = await yard.submit(idempotency=KEY)

    assert await yard.value("SELECT job_id FROM idempotency_keys") == job.id
    with pytest.raises(IdempotencyKeyReused):
        await yard.submit(idempotency=KEY)


async def test_the_sweep_forgets_old_keys_and_keeps_young_ones(yard: Yard) -> None:
    await yard.submit(idempotency=IdempotencyKey("old", b"h"))
    await yard.submit(idempotency=IdempotencyKey("young", b"h"))
    await yard.run("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'")

    async with yard.database.transaction() as tx:
        forgotten = await sweep.forget_keys(tx)

    assert forgotten == 1
    assert await yard.rows("SELECT key FROM idempotency_keys") == [("young",)]


async def test_a_key_is_released_when_nothing_was_created(yard: Yard) -> None:
    async def give_up() -> None:
        async with yard.database.transaction() as tx:
            await service.submit(tx, yard.job(idempotency=KEY))
            raise RuntimeError("refused later")

    with pytest.raises(RuntimeError):
        await give_up()

    assert set((await counted(yard)).values()) == {0}
    assert (await yard.submit(idempotency=KEY)).state is JobState.QUEUED


async def test_who_waits_for_a_key_gets_it_when_the_other_gives_up(yard: Yard) -> None:
    async def give_up(entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with yard.database.transaction() as tx:
            await service.submit(tx, yard.job(idempotency=KEY))
            entered.set()
            await leave.wait()
            raise psycopg.Rollback

    entered, leave = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(give_up(entered, leave))
        await entered.wait()
        second = group.create_task(yard.submit(idempotency=KEY))
        await asyncio.sleep(0.05)
        assert not second.done()
        leave.set()

    assert await yard.rows("SELECT job_id FROM idempotency_keys") == [(second.result().id,)]
    assert await yard.value("SELECT count(*) FROM jobs") == 1


async def test_a_prompt_id_is_given_once_per_account_and_a_refusal_leaves_nothing(yard: Yard) -> None:
    prompt_id = new_uuid()
    first = await yard.submit(native_prompt_id=prompt_id, prompt=Prompt())
    await yard.submit(native_prompt_id=prompt_id, account_id=AccountId(new_uuid()))
    before = await counted(yard)

    for taken in (prompt_id, first.id):
        with pytest.raises(DuplicatePrompt) as refused:
            await yard.submit(native_prompt_id=taken, idempotency=KEY, prompt=Prompt(), graph_digest=b"another")
        assert refused.value.kind is Kind.CONFLICT

    assert await counted(yard) == before
    assert (await yard.submit(idempotency=KEY)).state is JobState.QUEUED


async def test_of_many_with_one_prompt_id_exactly_one_is_accepted(yard: Yard) -> None:
    prompt_id = new_uuid()

    async def attempt(number: int) -> Job | None:
        try:
            async with yard.database.autocommit() as tx:
                key = IdempotencyKey(f"key-{number}", b"h")
                job = yard.job(native_prompt_id=prompt_id, idempotency=key, prompt=Prompt())
                return await service.submit(tx, job)
        except DuplicatePrompt:
            return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(number)) for number in range(8)]

    accepted = [job for task in tasks if (job := task.result()) is not None]
    assert len(accepted) == 1
    assert await yard.rows("SELECT job_id FROM idempotency_keys") == [(accepted[0].id,)]
    assert await yard.rows("SELECT job_id FROM native_prompts") == [(accepted[0].id,)]


async def test_who_waits_for_a_prompt_id_is_refused_without_an_error_of_the_database(yard: Yard) -> None:
    prompt_id = new_uuid()

    async with asyncio.TaskGroup() as group, yard.database.transaction() as tx:
        await service.submit(tx, yard.job(native_prompt_id=prompt_id))
        second = group.create_task(refused_for(yard, prompt_id))
        await asyncio.sleep(0.05)
        assert not second.done()

    assert second.result()
    assert await yard.value("SELECT count(*) FROM jobs") == 1


async def refused_for(yard: Yard, prompt_id: uuid.UUID) -> bool:
    try:
        await yard.submit(native_prompt_id=prompt_id)
    except DuplicatePrompt:
        return True
    return False


async def test_what_came_with_a_prompt_is_kept_beside_its_job(yard: Yard) -> None:
    prompt = Prompt("me", {"a": {"b": [1, None, "\u00e9"]}}, ("9", "10"), {"1": {"image": "x.png [output]"}})

    job = await yard.submit(prompt=prompt, number=0.25)

    [row] = await yard.rows("SELECT job_id, client_id, extra_data, outputs, shown FROM native_prompts")
    assert row == (job.id, "me", prompt.extra_data, ["9", "10"], prompt.shown)
    assert await yard.value("SELECT number FROM jobs") == 0.25
    assert job == await yard.read(job.id)


async def test_who_comes_to_the_front_stands_before_all_others_and_before_earlier_ones_there(yard: Yard) -> None:
    plain, first, second = await yard.submit(), await yard.submit(front=True), await yard.submit(front=True)
    chosen = await yard.submit(front=True, number=7)

    numbers = dict(await yard.rows("SELECT id, number FROM jobs"))

    assert numbers == {plain.id: None, first.id: -first.position, second.id: -second.position, chosen.id: 7}
    assert first.position < second.position < chosen.position
    assert await yard.value("SELECT count(*) FROM native_prompts") == 0


async def test_an_account_at_its_bound_is_refused_and_others_are_not(yard: Yard) -> None:
    bounds, other = QueueBounds(100, 2), AccountId(new_uuid())
    async with yard.database.transaction() as tx:
        for _ in range(2):
            await bounds.check(tx, yard.account_id)
            await service.submit(tx, yard.job())

        with pytest.raises(QueueFull) as refused:
            await bounds.check(tx, yard.account_id)
        await bounds.check(tx, other)

    assert refused.value.kind is Kind.BUSY
    assert refused.value.retry_after == 5
    assert "of this account" in refused.value.message


async def test_everybody_is_refused_when_too_many_wait_in_all(yard: Yard) -> None:
    for _ in range(3):
        await yard.submit(account_id=AccountId(new_uuid()))

    async with yard.database.transaction() as tx:
        with pytest.raises(QueueFull, match="3 jobs wait already; 3 may"):
            await QueueBounds(3, 3).check(tx, yard.account_id)


async def test_jobs_that_no_longer_wait_do_not_count(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.claimed(me)
    await yard.cancel((await yard.submit()).id)

    async with yard.database.transaction() as tx:
        await QueueBounds(1, 1).check(tx, yard.account_id)


async def test_the_first_event_is_where_later_ones_follow(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)

    events = await yard.events(claim.job_id)

    assert kinds(events) == ["queued", "running"]
    assert [event.seq for event in events] == [1, 2]


async def test_opening_a_fresh_database_needs_no_partition(database: Database) -> None:
    async with database.transaction() as tx:
        rows = await tx.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'job_events'::regclass")
        assert await rows.fetchone() == (1,)
