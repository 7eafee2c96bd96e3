"""What was made is given again, with files or not at all; of twins that come at once one runs."""

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path

import psycopg
import pytest

from atelier.assets import service as assets
from atelier.assets.collect import collect
from atelier.intake.results import Policy, Sharing
from atelier.jobs.model import IdempotencyKey, Job, JobState
from atelier.jobs.service import IdempotencyKeyReused, QueueBounds
from atelier.jobs.store import sweep
from atelier.kit.database import Database
from atelier.kit.ids import JobId
from atelier.storage.opening import open_storage
from support.promises import eventually
from support.twins import FOREST, SUNSET, House, make_house
from support.yard import kinds

NOW = dt.timedelta()


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    return await make_house(database, open_storage(str(tmp_path / "files")))


async def recipe_of(house: House, job: Job) -> tuple[bool, JobId | None]:
    [(cached, leader)] = await house.yard.rows(
        "SELECT cached, leader_id FROM job_recipes WHERE job_id = %s", job.id
    )
    return cached, leader


async def test_what_was_made_is_given_at_once_with_files_of_its_own(house: House) -> None:
    made = await house.made(bodies=(b"one", b"two"))

    again = await house.enter()

    assert again.state is JobState.SUCCEEDED
    assert await house.body_of(again) == [b"one", b"two"]
    assert {output.id for output in again.outputs}.isdisjoint({output.id for output in made.outputs})
    assert again == await house.read(again.id)
    assert await recipe_of(house, again) == (True, None)


async def test_a_cached_answer_is_told_like_any_end_and_once(house: House) -> None:
    await house.made(bodies=(b"one", b"two"))

    again = await house.enter()

    events = await house.events(again)
    assert kinds(events) == ["preparing", "output", "output", "succeeded"]
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.terminal for event in events] == [False, False, False, True]
    assert [event.data["id"] for event in events[1:3]] == [str(output.id) for output in again.outputs]
    assert again.event_seq == 4


async def test_a_cached_answer_is_free_unless_the_operator_says_otherwise(house: House) -> None:
    await house.made()

    free = await house.enter()
    house.policy = Policy(part=0.25)
    quarter = await house.enter()

    assert await house.yard.hold(free.id) == ("captured", 0)
    assert await house.yard.hold(quarter.id) == ("captured", 250)
    assert await house.yard.value("SELECT amount FROM holds WHERE job_id = %s", quarter.id) == 250


async def test_a_twin_is_held_whole_and_charged_as_a_cached_answer(house: House) -> None:
    house.policy = Policy(part=0.25)
    leader = await house.enter()
    twin = await house.enter()

    held = await house.yard.value("SELECT amount FROM holds WHERE job_id = %s", twin.id)
    await house.run(leader)
    await house.settle()

    assert held == 1000
    assert await house.yard.hold(leader.id) == ("captured", 1000)
    assert await house.yard.hold(twin.id) == ("captured", 250)


async def test_the_files_of_a_copy_live_as_long_as_the_copy(house: House) -> None:
    await house.made()

    again = await house.enter(retention=50_000.0)

    expires = await house.yard.rows("SELECT expires_at FROM assets WHERE job_id = %s", again.id)
    assert expires == [(again.keep_until,)]


async def test_a_copy_stays_when_the_job_that_made_it_is_forgotten_and_its_files_are_collected(
    house: House,
) -> None:
    made = await house.made()
    again = await house.enter(retention=100_000.0)
    await house.yard.run("UPDATE jobs SET keep_until = now() - interval '1 day' WHERE id = %s", made.id)
    await house.yard.run("UPDATE assets SET expires_at = now() - interval '1 day' WHERE job_id = %s", made.id)

    async with house.yard.database.transaction() as tx:
        await sweep.forget_finished(tx)
    await collect(house.yard.database, house.storage, wait=NOW)

    assert await house.yard.value("SELECT count(*) FROM jobs") == 1
    assert await house.body_of(await house.read(again.id)) == [b"picture"]


async def test_what_is_in_use_outlives_the_first_job_that_made_it(house: House) -> None:
    made = await house.made(retention=10.0)
    await house.enter(retention=100_000.0)

    await house.yard.run("DELETE FROM jobs WHERE id = %s", made.id)
    third = await house.enter()

    assert third.state is JobState.SUCCEEDED
    assert await house.body_of(third) == [b"picture"]


async def test_another_key_is_run(house: House) -> None:
    await house.made(SUNSET)

    assert (await house.enter(FOREST)).state is JobState.QUEUED


async def test_a_job_without_a_key_is_run_each_time(house: House) -> None:
    first, second = await house.enter(None), await house.enter(None)

    assert await house.states([first, second]) == ["queued", "queued"]


async def test_another_account_makes_its_own(house: House) -> None:
    await house.made()
    await house.enter(FOREST)
    other = await house.account()

    sunset = await house.enter(SUNSET, account_id=other)
    forest = await house.enter(FOREST, account_id=other)

    assert (sunset.state, forest.state) == (JobState.QUEUED, JobState.QUEUED)
    assert await house.leader_of(forest) is None


async def test_accounts_share_where_the_operator_says_so_and_each_has_its_own_record(house: House) -> None:
    house.policy = Policy(Sharing.SHARED)
    await house.made()
    other = await house.account()

    again = await house.enter(account_id=other)

    assert again.state is JobState.SUCCEEDED
    assert await house.body_of(again) == [b"picture"]
    assert await house.yard.value("SELECT count(*) FROM assets WHERE account_id = %s", other) == 1


async def test_nothing_is_given_again_where_it_is_switched_off(house: House) -> None:
    house.policy = Policy(Sharing.OFF)

    await house.made()
    again = await house.enter()

    assert again.state is JobState.QUEUED
    assert await house.leader_of(again) is None


async def test_a_file_that_the_storage_lost_is_made_anew(house: House, tmp_path: Path) -> None:
    await house.made()
    for file in (tmp_path / "files").rglob("blobs/**/*"):
        if file.is_file():
            file.unlink()

    again = await house.enter()

    assert again.state is JobState.QUEUED
    assert await house.leader_of(again) is None
    await house.run(again, [b"picture"])
    assert (await house.enter()).state is JobState.SUCCEEDED


async def test_a_file_that_its_owner_deleted_is_made_anew(house: House) -> None:
    made = await house.made(bodies=(b"one", b"two"))
    async with house.yard.database.transaction() as tx:
        await assets.delete(tx, house.yard.account_id, made.outputs[1].id)

    assert (await house.enter()).state is JobState.QUEUED


async def test_a_file_that_has_expired_is_made_anew(house: House) -> None:
    made = await house.made()
    await house.yard.run("UPDATE assets SET expires_at = now() WHERE job_id = %s", made.id)

    assert (await house.enter()).state is JobState.QUEUED


async def test_a_run_that_made_no_file_answers_nobody(house: House) -> None:
    await house.made(bodies=())

    assert (await house.enter()).state is JobState.QUEUED


@pytest.mark.parametrize("end", ["failed", "canceled", "expired"])
async def test_what_did_not_succeed_is_run_again(house: House, end: str) -> None:
    first = await house.enter()
    await house.yard.run("UPDATE jobs SET state = %s, finished_at = now() WHERE id = %s", end, first.id)

    again = await house.enter()

    assert again.state is JobState.QUEUED
    assert await house.leader_of(again) is None
    await house.run(again)
    assert (await house.enter()).state is JobState.SUCCEEDED


async def test_who_is_being_stopped_leads_nobody(house: House) -> None:
    first = await house.enter()
    await house.stage.start(first.id)
    await house.yard.cancel(first.id)

    second, third = await house.enter(), await house.enter()

    assert await house.states([first, second]) == ["canceling", "queued"]
    assert await house.leader_of(third) == second.id


async def test_an_idempotency_key_is_single_use_for_cached_answers_too(house: House) -> None:
    key = IdempotencyKey("order-1", b"h" * 32)
    await house.made()
    first = await house.enter(idempotency=key)

    with pytest.raises(IdempotencyKeyReused):
        await house.enter(idempotency=key)

    assert first.state is JobState.SUCCEEDED
    assert await house.yard.value("SELECT count(*) FROM jobs") == 2


async def test_fifty_twins_at_once_are_one_run(house: House) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(house.enter()) for _ in range(50)]
    twins = [task.result() for task in tasks]

    states = await house.states(twins)
    [leader] = [twin for twin, state in zip(twins, states, strict=True) if state == "queued"]
    await house.run(leader)
    await house.settle()

    assert sorted(set(states)) == ["preparing", "queued"]
    assert set(await house.states(twins)) == {"succeeded"}
    assert await house.yard.value("SELECT count(*) FROM attempts") == 1
    assert await house.yard.value("SELECT count(DISTINCT asset_id) FROM outputs") == 50
    assert await house.yard.value("SELECT count(*) FROM blobs") == 1
    assert await house.yard.value("SELECT count(*) FROM job_events WHERE terminal") == 50


async def test_twins_in_one_batch_are_one_run_and_others_run_beside_them(house: House) -> None:
    many = await house.enter_many(SUNSET, FOREST, SUNSET, None, SUNSET)

    assert await house.states(many) == ["queued", "queued", "preparing", "queued", "preparing"]
    assert [await house.leader_of(many[index]) for index in (2, 4)] == [many[0].id] * 2


async def test_a_batch_takes_what_is_there_follows_what_runs_and_makes_the_rest(house: House) -> None:
    await house.made(SUNSET)
    running = await house.enter(FOREST)

    sunset, forest, other = await house.enter_many(SUNSET, FOREST, b"other")

    assert [sunset.state, forest.state, other.state] == ["succeeded", "preparing", "queued"]
    assert await house.leader_of(forest) == running.id
    assert await house.body_of(sunset) == [b"picture"]


async def test_batches_of_the_same_keys_in_any_order_all_get_in(house: House) -> None:
    keys = [bytes([number]) * 32 for number in range(20)]

    async with asyncio.TaskGroup() as group:
        for turn in range(6):
            group.create_task(house.enter_many(*(keys if turn % 2 else reversed(keys))))

    assert await house.runs() == 20
    assert await house.yard.value("SELECT count(*) FROM jobs") == 120


async def test_a_leader_that_waits_is_raised_to_the_class_of_who_waits_for_it(house: House) -> None:
    leader = await house.enter(priority=2)

    await house.enter(priority=7)

    assert (await house.read(leader.id)).priority == 7


async def test_a_full_queue_refuses_no_answer_that_is_there(house: House) -> None:
    await house.made()
    house.intake = dataclasses.replace(house.intake, bounds=QueueBounds(0, 0))

    assert (await house.enter()).state is JobState.SUCCEEDED


async def test_a_file_that_is_being_collected_is_not_given(house: House) -> None:
    """The collector holds the bytes, about to drop them: who comes waits, and makes them anew."""
    made = await house.made()
    async with await psycopg.AsyncConnection.connect(house.yard.database.url) as collector:
        await collector.execute("DELETE FROM outputs WHERE job_id = %s", (made.id,))
        await collector.execute("DELETE FROM assets WHERE job_id = %s", (made.id,))
        await collector.execute("DELETE FROM blobs")
        async with asyncio.TaskGroup() as group:
            entering = group.create_task(house.enter())
            await _waits(house, collector)
            await collector.commit()
        again = entering.result()

    assert again.state is JobState.PREPARING
    await house.settle()
    assert await house.states([again]) == ["queued"]


async def _waits(house: House, other: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    """Until somebody waits for a lock that the other connection has."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"

    async def waits() -> bool:
        return bool(await house.yard.value(waiting, other.info.backend_pid))

    await eventually(waits, 60)
