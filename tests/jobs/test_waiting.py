"""What may be next is found among all that waits: by party, by what is loaded, and at last wherever it lies."""

from typing import Any

from atelier.fleet.fairness import Standing
from atelier.fleet.model import Party
from atelier.jobs.store import waiting
from atelier.jobs.store.waiting import OF_LANE, TURNS, Reading
from atelier.kit.ids import AccountId, JobId, ServerId, new_uuid
from support.yard import Yard, requirement


def ids(reading: Reading) -> set[JobId]:
    return {head.job_id for head in reading.heads}


async def of_sets(yard: Yard, *sets: int, each: int = 4) -> Reading:
    async with yard.database.autocommit() as tx:
        return await waiting.of_requirement_sets(tx, sets, each=each, limit=0)


async def account(yard: Yard, **columns: Any) -> AccountId:
    account_id = AccountId(new_uuid())
    await yard.run("INSERT INTO accounts (id, name) VALUES (%s, %s)", account_id, str(account_id))
    for name, value in columns.items():
        await yard.run(f"UPDATE accounts SET {name} = %s WHERE id = %s", value, account_id)  # noqa: S608 - of a test
    return account_id


async def test_nothing_waits(yard: Yard) -> None:
    assert await yard.reading() == Reading((), (), 0, waiting.BEGINNING, complete=True)


async def test_a_head_tells_all_that_the_policy_asks(yard: Yard) -> None:
    job = await yard.submit(end_user="ann", priority=7, lane="flux", shape=b"one")
    await yard.run(
        "UPDATE jobs SET avoid = '{gpu-1,gpu-2}', vram_over = 5, created_at = now() - interval '1 h', tries = 1"
    )

    [head] = await yard.heads()

    assert (head.job_id, head.attempt, head.lane, head.shape) == (job.id, 0, "flux", b"one")
    assert (head.priority, head.account_id, head.end_user) == (7, yard.account_id, "ann")
    assert (head.avoid, head.vram_over) == ((ServerId("gpu-1"), ServerId("gpu-2")), 5)
    assert 3600 <= head.age < 3700


async def test_every_party_shows_its_first_jobs(yard: Yard) -> None:
    greedy = [await yard.submit() for _ in range(5)]
    other = await account(yard)
    small = await yard.submit(account_id=other)
    behalf = await yard.submit(end_user="ann")
    higher = await yard.submit(priority=9)

    found = await yard.reading()

    assert ids(found) == {*(job.id for job in greedy), small.id, behalf.id, higher.id}
    assert {standing.party for standing in found.standings} == {
        Party(5, yard.account_id),
        Party(5, other),
        Party(5, yard.account_id, "ann"),
        Party(9, yard.account_id),
    }


async def test_a_low_number_is_seen_however_many_came_before(yard: Yard) -> None:
    for _ in range(TURNS + 5):
        await yard.submit()
    front, low, high = await yard.submit(front=True), await yard.submit(number=0), await yard.submit(number=1e9)

    found = {head.job_id: head.number for head in (await yard.reading()).heads}

    assert (found[front.id], found[low.id]) == (-front.position, 0)
    assert high.id not in found


async def test_a_long_queue_of_one_party_hides_nobody(yard: Yard) -> None:
    for _ in range(TURNS + 10):
        await yard.submit()
    small = await yard.submit(account_id=await account(yard))

    found = await yard.reading()

    assert small.id in ids(found)
    assert len(found.heads) < TURNS
    assert not found.complete


async def test_a_reading_knows_when_it_has_seen_all(yard: Yard) -> None:
    await yard.submit()

    assert (await yard.reading()).complete
    assert not (await yard.reading(refused=(12345,))).complete


async def test_refused_requirement_sets_are_left_out(yard: Yard) -> None:
    other = await requirement(yard.database, "KSampler")
    for _ in range(5):
        await yard.submit()
    job = await yard.submit(requirement_id=other)

    assert ids(await yard.reading(refused=(yard.requirement_id,))) == {job.id}


async def test_a_job_that_waits_for_its_next_try_is_passed_over(yard: Yard) -> None:
    other = await requirement(yard.database, "KSampler")
    waits = await yard.submit(priority=9, lane="flux", requirement_id=other)
    ready = await yard.submit(lane="flux", requirement_id=other)
    await yard.run("UPDATE jobs SET not_before = now() + interval '1 h' WHERE id = %s", waits.id)

    found = [await yard.reading(), await yard.reading(lanes=["flux"]), await of_sets(yard, other)]

    assert [ids(reading) for reading in found] == [{ready.id}] * 3

    await yard.run("UPDATE jobs SET not_before = now() - interval '1 ms' WHERE id = %s", waits.id)
    assert ids(await yard.reading()) == {waits.id, ready.id}


async def test_jobs_whose_models_are_loaded_are_seen_behind_many_others(yard: Yard) -> None:
    for _ in range(TURNS + 1):
        await yard.submit()
    warm = [await yard.submit(lane="flux") for _ in range(OF_LANE + 1)]

    found = ids(await yard.reading(lanes=["flux", "sd15"]))

    assert {job.id for job in warm[:OF_LANE]} <= found
    assert warm[-1].id not in found


async def test_what_lies_deep_is_found_by_its_requirement_set(yard: Yard) -> None:
    rare = await requirement(yard.database, "KSampler")
    for _ in range(TURNS + 1):
        await yard.submit()
    deep = [await yard.submit(requirement_id=rare) for _ in range(3)]

    async with yard.database.autocommit() as tx:
        sets = await waiting.requirement_sets(tx, 0)
        rest = await waiting.requirement_sets(tx, min(sets))
        first = await waiting.requirement_sets(tx, 0, most=1)

    assert sorted(sets) == sorted([yard.requirement_id, rare])
    assert rest == sets[1:]
    assert first == sets[:1]
    assert ids(await yard.reading(refused=(yard.requirement_id,))) == set()
    assert ids(await of_sets(yard, rare, each=2)) == {job.id for job in deep[:2]}


async def test_a_standing_tells_share_weight_clock_and_what_runs(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.claimed(me, priority=9)
    await yard.submit()
    await yard.run("UPDATE accounts SET weight = 2, max_running = 3")
    await yard.run(
        "INSERT INTO shares (priority, account_id, end_user, virtual_time, started)"
        " VALUES (5, %s, '', 7, 4), (5, %s, 'gone', 90, 80)",
        yard.account_id,
        yard.account_id,
    )

    found = await yard.reading()

    assert found.standings == (Standing(Party(5, yard.account_id), 7.0, 80.0, 2.0, 1, 3),)
    assert found.on_servers == 1


async def test_a_party_that_was_never_given_anything_has_no_virtual_time(yard: Yard) -> None:
    await yard.submit()

    assert (await yard.reading()).standings == (Standing(Party(5, yard.account_id), None, 0.0),)


async def test_parties_at_their_running_limit_are_left_out_before_anybody_looks(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.claimed(me, lane="flux")
    mine = await yard.submit(lane="flux")
    behalf = await yard.submit(end_user="ann", lane="flux")

    limited = [await yard.reading(limit=1, lanes=["flux"]), await of_sets(yard, yard.requirement_id)]
    free = await yard.reading(limit=2, lanes=["flux"])

    assert ids(limited[0]) == {behalf.id}
    assert ids(limited[1]) == ids(free) == {mine.id, behalf.id}

    await yard.run("UPDATE accounts SET max_running = 1")
    assert ids(await of_sets(yard, yard.requirement_id)) == {behalf.id}


async def test_of_many_parties_those_that_were_given_least_are_looked_at(yard: Yard) -> None:
    for number in range(TURNS + 5):
        await yard.submit(end_user=f"user-{number}")
    await yard.run(
        "INSERT INTO shares (priority, account_id, end_user, virtual_time)"
        " SELECT DISTINCT 5, account_id, end_user, 50 FROM jobs WHERE end_user NOT IN ('user-3', 'user-66')"
    )

    found = await yard.reading()

    assert len(found.standings) == TURNS
    assert {"user-3", "user-66"} <= {standing.party.end_user for standing in found.standings}
    assert not found.complete


async def test_a_walk_that_is_too_long_goes_on_where_it_stopped(yard: Yard) -> None:
    for number in range(5):
        await yard.submit(end_user=f"user-{number}")

    first = await yard.reading(walk=3)
    second = await yard.reading(walk=3, start=first.go_on)

    assert {standing.party.end_user for standing in first.standings} == {"user-0", "user-1", "user-2"}
    assert {standing.party.end_user for standing in second.standings} == {"user-3", "user-4"}
    assert second.go_on == waiting.BEGINNING
