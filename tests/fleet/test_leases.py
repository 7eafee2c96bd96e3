"""A server is driven by one dispatcher at a time; its fence only grows, and only by a take-over."""

import asyncio

import pytest

from atelier.fleet.store import leasing
from atelier.kit.database import Tx
from atelier.kit.ids import DispatcherId, ServerId, new_uuid
from support.yard import SERVER, Yard, blocked

GATE = 7


async def losses(yard: Yard) -> list[int]:
    return [row[0] for row in await yard.rows("SELECT dispatcher_losses FROM jobs ORDER BY position")]


async def holder_of(yard: Yard, server_id: str = SERVER) -> object:
    return await yard.value("SELECT dispatcher_id FROM leases WHERE server_id = %s", server_id)


async def test_a_free_server_is_taken_under_a_new_fence(yard: Yard) -> None:
    await yard.server()

    me = await yard.dispatcher()

    assert await yard.fences(me) == {SERVER: 1}


async def test_a_held_server_is_not_taken(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    other = await yard.dispatcher()

    assert await yard.fences(other) == {}
    assert await yard.fences(me) == {SERVER: 1}


async def test_asking_again_keeps_the_fence(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()

    await yard.acquire(me)

    assert await yard.fences(me) == {SERVER: 1}


async def test_no_more_are_taken_than_asked_for(yard: Yard) -> None:
    for number in range(3):
        await yard.server(f"server-{number}")

    first, second = await yard.dispatcher(most=2), await yard.dispatcher(most=0)

    assert len(await yard.fences(first)) == 2
    assert await yard.fences(second) == {}


async def test_a_dead_holders_server_is_taken_with_what_lives_there(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    living, ended = await yard.claimed(holder, running=True), await yard.claimed(holder)
    await yard.fail(ended)
    await yard.beat(holder, -1)

    heir = await yard.dispatcher()

    assert await yard.fences(heir) == {SERVER: 2}
    assert await yard.fences(holder) == {}
    assert await yard.rows("SELECT job_id, fence FROM attempts ORDER BY fence DESC") == [
        (living.job_id, 2),
        (ended.job_id, 1),
    ]


async def test_a_lost_dispatcher_is_counted_once_for_what_it_held(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    await yard.claimed(holder, running=True)
    await yard.claimed(holder)
    await yard.fail(await yard.claimed(holder))
    await yard.submit()
    await yard.beat(holder, -1)

    await yard.dispatcher()

    assert await losses(yard) == [1, 1, 0, 0]


async def test_a_dispatcher_that_left_in_good_order_is_no_loss(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    claim = await yard.claimed(holder)
    await yard.leave(holder)
    assert await yard.value("SELECT count(*) FROM dispatchers WHERE expires_at > clock_timestamp()") == 0

    heir = await yard.dispatcher()

    assert await yard.fences(heir) == {SERVER: 2}
    assert await losses(yard) == [0]
    assert await yard.rows("SELECT job_id, fence FROM attempts") == [(claim.job_id, 2)]


async def test_a_released_server_is_free_at_once_and_the_others_stay(yard: Yard) -> None:
    await yard.server("server-2")
    holder = await yard.dispatcher_with_server()
    async with yard.database.transaction() as tx:
        await leasing.release(tx, holder, [ServerId("server-2"), ServerId("unknown")])

    heir = await yard.dispatcher()

    assert await yard.fences(heir) == {"server-2": 2}
    assert await yard.fences(holder) == {SERVER: 1}


async def test_nobody_releases_the_server_of_another(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()

    async with yard.database.transaction() as tx:
        await leasing.release(tx, DispatcherId(new_uuid()), [SERVER])

    assert await yard.fences(holder) == {SERVER: 1}


async def test_a_lease_that_ran_out_and_that_nobody_took_is_renewed_under_the_same_fence(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    await yard.beat(me, -1)

    await yard.beat(me)
    await yard.acquire(me)

    assert await yard.fences(me) == {SERVER: 1}
    assert await losses(yard) == [0]
    assert await yard.running(claim)


async def test_its_own_lease_that_ran_out_is_no_take_over(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.beat(me, -1)

    await yard.acquire(me)

    assert await yard.fences(me) == {SERVER: 1}


@pytest.mark.parametrize("change", ["removed_at = now()", "enabled = false"])
async def test_a_server_out_of_use_is_taken_only_while_something_lives_there(yard: Yard, change: str) -> None:
    holder = await yard.dispatcher_with_server()
    claim = await yard.claimed(holder)
    await yard.run(f"UPDATE servers SET {change}")  # noqa: S608 - fixed
    await yard.beat(holder, -1)

    heir = await yard.dispatcher()
    assert await yard.fences(heir) == {SERVER: 2}
    async with yard.database.transaction() as tx:
        [seat] = await leasing.seats(tx, heir)
    assert (seat.mine, seat.usable, seat.takes_jobs, seat.works) == (True, False, False, False)

    await yard.run("UPDATE attempts SET state = 'ended', outcome = 'failed' WHERE job_id = %s", claim.job_id)
    await yard.beat(heir, -1)
    assert await yard.fences(await yard.dispatcher()) == {}


async def test_of_many_who_race_for_free_servers_each_goes_to_one(yard: Yard) -> None:
    for number in range(6):
        await yard.server(f"server-{number}")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(yard.dispatcher(most=2)) for _ in range(4)]

    fences = [await yard.fences(task.result()) for task in tasks]
    assert sorted(server for held in fences for server in held) == sorted(
        {server for held in fences for server in held}
    )
    assert {fence for held in fences for fence in held.values()} == {1}


async def test_a_holder_that_renews_at_this_moment_keeps_its_server(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    await yard.beat(holder, -1)

    async with yard.database.transaction() as tx:
        await leasing.beat(tx, holder, "test", 60)
        other = await yard.dispatcher()

    assert await yard.fences(other) == {}
    assert await yard.fences(holder) == {SERVER: 1}


async def test_a_holder_that_renews_too_late_learns_of_the_take_over_at_once(yard: Yard) -> None:
    holder = await yard.dispatcher_with_server()
    await yard.beat(holder, -1)

    async def renew(connection: Tx) -> list[int]:
        async with connection.transaction():
            await leasing.beat(connection, holder, "test", 60)
            return [lease.fence for lease in await leasing.leases(connection, holder)]

    async with (
        await yard.database.connect() as late,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as take_over,
    ):
        await leasing.beat(take_over, heir := DispatcherId(new_uuid()), "test", 60)
        await leasing.acquire(take_over, heir, 1)
        renewing = group.create_task(renew(late))
        await blocked(take_over, late.info.backend_pid)

    assert renewing.result() == []
    assert await yard.fences(heir) == {SERVER: 2}


async def test_a_server_that_another_took_between_the_look_and_the_lock_is_not_taken_from_it(yard: Yard) -> None:
    """The look is held open in its middle: PostgreSQL judges a changed row by what it read of the other tables."""
    holder = await yard.dispatcher_with_server()
    claim = await yard.claimed(holder)
    await yard.beat(holder, -1)
    first, second = await yard.dispatcher(most=0), await yard.dispatcher(most=0)
    await _pause_every_look_at_the_servers(yard)

    async with await yard.database.connect() as gate, await yard.database.connect() as slow:
        await slow.execute("SET atelier.pause = 'yes'")
        await gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(_acquire_on(slow, second))
            await blocked(gate, slow.info.backend_pid)
            await yard.acquire(first)
            await gate.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
        assert taking.done()

    assert await holder_of(yard) == first
    assert await yard.rows("SELECT fence FROM leases") == [(2,)]
    assert await yard.rows("SELECT job_id, fence FROM attempts") == [(claim.job_id, 2)]
    assert await losses(yard) == [1]


async def _acquire_on(connection: Tx, me: DispatcherId) -> None:
    async with connection.transaction():
        await leasing.acquire(connection, me, 1)


async def _pause_every_look_at_the_servers(yard: Yard) -> None:
    """Who has `atelier.pause` set waits for the gate in the middle of each statement that reads `servers`."""
    await yard.run("ALTER TABLE servers RENAME TO real_servers")
    await yard.run(
        f"""CREATE FUNCTION pause() RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$ BEGIN
                IF current_setting('atelier.pause', true) = 'yes' THEN
                    PERFORM pg_advisory_lock({GATE});
                    PERFORM pg_advisory_unlock({GATE});
                END IF;
                RETURN true;
            END $$"""
    )
    await yard.run("CREATE VIEW servers AS SELECT * FROM real_servers WHERE pause()")


async def test_the_alive_are_counted_by_the_databases_clock(yard: Yard) -> None:
    await yard.dispatcher()
    await yard.dispatcher(seconds=-1)

    async with yard.database.transaction() as tx:
        assert await leasing.dispatchers_alive(tx) == 1
