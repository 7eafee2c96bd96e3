"""Whoever waits for another job ends or runs, whatever became of that one and of whoever should have told."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from atelier.assets import service as assets
from atelier.jobs import cached
from atelier.jobs.model import Job, JobError
from atelier.jobs.store import attempts, sweep
from atelier.jobs.store import cached as store
from atelier.kit.database import Database
from atelier.storage.local_folder import LocalFolder
from atelier.storage.model import StorageUnavailable
from atelier.storage.opening import open_storage
from support.promises import eventually
from support.twins import House, make_house
from support.yard import kinds


class Away(LocalFolder):
    """A storage that cannot be reached."""

    async def head(self, key: str) -> int | None:
        raise StorageUnavailable(f"There is no way to {key}.")


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    return await make_house(database, open_storage(str(tmp_path / "files")))


async def three(house: House) -> tuple[Job, Job, Job]:
    """A leader and two who wait for it."""
    return await house.enter(), await house.enter(), await house.enter()


async def test_twins_have_the_files_when_their_leader_succeeded_though_nobody_told_them(house: House) -> None:
    """As after kill -9 between the leader's end and the settling: the next round finds them."""
    leader, second, third = await three(house)
    await house.run(leader, [b"one", b"two"])

    before = await house.states([leader, second, third])
    await house.settle()

    assert before == ["succeeded", "preparing", "preparing"]
    for twin in (second, third):
        ended = await house.read(twin.id)
        assert await house.body_of(ended) == [b"one", b"two"]
        assert kinds(await house.events(twin)) == ["preparing", "output", "output", "succeeded"]
        assert await house.leader_of(twin) is None


@pytest.mark.parametrize("end", ["failed", "canceled", "given up", "deleted", "without files", "file deleted"])
async def test_one_of_them_leads_the_others_when_their_leader(house: House, end: str) -> None:
    leader, second, third = await three(house)
    match end:
        case "failed":
            await house.fail(leader)
        case "canceled":
            await house.yard.cancel(leader.id)
        case "given up":
            async with house.yard.database.transaction() as tx:
                await attempts.give_up(tx, leader.id, JobError("poison", "It died."))
        case "deleted":
            await house.yard.cancel(leader.id)
            await house.yard.run("DELETE FROM jobs WHERE id = %s", leader.id)
        case "without files":
            await house.run(leader, [])
        case _:
            [made] = await house.run(leader)
            async with house.yard.database.transaction() as tx:
                await assets.delete(tx, house.yard.account_id, made)

    await house.settle()

    assert await house.states([second, third]) == ["queued", "preparing"]
    assert await house.leader_of(third) == second.id
    assert kinds(await house.events(second)) == ["preparing", "queued"]
    await house.run(second)
    await house.settle()
    assert await house.states([second, third]) == ["succeeded", "succeeded"]


async def test_twins_go_on_waiting_while_their_leader_is_tried_again(house: House) -> None:
    leader, second, _ = await three(house)
    await house.stage.lose(await house.stage.start(leader.id))

    await house.settle()

    assert await house.states([leader, second]) == ["queued", "preparing"]


async def test_the_one_of_the_highest_class_leads(house: House) -> None:
    leader = await house.enter(priority=9)
    low, high = await house.enter(priority=2), await house.enter(priority=8)

    await house.fail(leader)
    await house.settle()

    assert await house.states([low, high]) == ["preparing", "queued"]


async def test_who_comes_before_the_twins_of_a_failed_leader_were_settled_leads_them_too(house: House) -> None:
    leader, second, third = await three(house)
    await house.fail(leader)

    late = await house.enter()
    await house.settle()

    assert await house.states([late, second, third]) == ["queued", "preparing", "preparing"]
    assert await house.leader_of(second) == late.id
    assert await house.runs() == 1


async def test_a_canceled_twin_ends_at_once_and_leaves_the_others_waiting(house: House) -> None:
    leader, second, third = await three(house)

    await house.yard.cancel(second.id)
    await house.run(leader)
    await house.settle()

    assert await house.states([second, third]) == ["canceled", "succeeded"]
    assert await house.yard.hold(second.id) == ("released", 0)
    assert await house.leader_of(second) is None


async def test_a_twin_expires_like_any_job_unless_what_it_waits_for_runs(house: House) -> None:
    leader, second, _ = await three(house)
    await house.yard.run("UPDATE jobs SET wait_until = now() WHERE id = %s", second.id)
    claim = await house.stage.start(leader.id)

    async def expire() -> int:
        async with house.yard.database.transaction() as tx:
            return len(await cached.expire(tx))

    while_it_runs = await expire()
    await house.stage.lose(claim)
    when_it_waits = await expire()

    assert (while_it_runs, when_it_waits) == (0, 1)
    ended = await house.read(second.id)
    assert ended.error is not None
    assert ended.error.message.endswith("still waiting for a job that makes the same.")


async def test_an_expired_leader_leaves_its_place(house: House) -> None:
    leader, second, _ = await three(house)
    await house.yard.run("UPDATE jobs SET wait_until = now() WHERE id = %s", leader.id)

    async with house.yard.database.transaction() as tx:
        await sweep.expire(tx)
    await house.settle()

    assert await house.states([leader, second]) == ["expired", "queued"]


async def test_many_may_settle_at_once(house: House) -> None:
    leader, *_ = many = [await house.enter() for _ in range(12)]
    await house.run(leader)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(house.twins.settle())

    assert set(await house.states(many)) == {"succeeded"}
    assert await house.yard.value("SELECT count(*) FROM outputs") == 12
    assert await house.yard.value("SELECT count(*) FROM job_events WHERE terminal") == 12


async def test_a_settling_that_dies_before_its_commit_is_done_again(house: House) -> None:
    leader, second, _ = await three(house)
    await house.run(leader)

    with contextlib.suppress(ZeroDivisionError):
        async with house.yard.database.transaction() as tx:
            assert await cached.give(tx, leader.id, 0.0)
            raise ZeroDivisionError
    undone = await house.states([second])
    await house.settle()

    assert (undone, await house.states([second])) == (["preparing"], ["succeeded"])


async def test_twins_wait_while_the_storage_does_not_answer(house: House, tmp_path: Path) -> None:
    leader, second, _ = await three(house)
    await house.run(leader)
    working, house.storage = house.storage, Away(tmp_path / "nowhere")

    await house.twins.settle()
    away = await house.states([second])
    house.storage = working
    await house.settle()

    assert (away, await house.states([second])) == (["preparing"], ["succeeded"])


async def test_what_the_storage_does_not_tell_of_is_run_anew(house: House, tmp_path: Path) -> None:
    await house.made()
    house.storage = Away(tmp_path / "nowhere")

    assert (await house.enter()).state == "queued"


async def test_the_loop_settles_when_it_is_told(house: House) -> None:
    leader, second, _ = await three(house)
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(house.twins.run())
        await house.run(leader)

        async def ended() -> bool:
            house.wakeups.publish(cached.TOPIC)
            return (await house.states([second])) == ["succeeded"]

        await eventually(ended, 60)
        loop.cancel()

    assert await house.states([second]) == ["succeeded"]


async def test_nothing_names_a_leader_when_all_is_settled(house: House) -> None:
    leader, *_ = await three(house)
    await house.run(leader)

    await house.settle()

    async with house.yard.database.transaction() as tx:
        assert await store.left(tx) == []
    assert await house.yard.value("SELECT count(*) FROM job_recipes WHERE leader_id IS NOT NULL") == 0
