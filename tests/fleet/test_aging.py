"""What the fleet does not need any more is forgotten, and nothing that somebody has just begun to need."""

import asyncio

from atelier.fleet import pages
from atelier.fleet.inventory import Inventory, from_object_info
from atelier.fleet.store import aging, catalogs, deposits, measures
from atelier.fleet.store.deposits import Deposit
from atelier.kit.ids import ServerId
from support.yard import SERVER, Yard, blocked

FIRST, SECOND = (from_object_info({name: {"output": []}}) for name in "AB")


async def tell(yard: Yard, *inventories: Inventory) -> None:
    for inventory in inventories:
        async with yard.database.transaction() as tx:
            await catalogs.save_inventory(tx, SERVER, inventory, {})
    await yard.run("UPDATE inventories SET created_at = now() - interval '3 days'")


async def forget(yard: Yard) -> int:
    async with yard.database.transaction() as tx:
        return await aging.forget_inventories(tx)


async def digests(yard: Yard) -> list[bytes]:
    return [bytes(row[0]) for row in await yard.rows("SELECT digest FROM inventories")]


async def test_an_inventory_that_no_server_has_is_forgotten(yard: Yard) -> None:
    await yard.server()
    await tell(yard, FIRST, SECOND)

    assert await forget(yard) == 1
    assert await digests(yard) == [SECOND.digest]


async def test_a_server_that_was_removed_needs_none_after_two_days(yard: Yard) -> None:
    await yard.server()
    await tell(yard, FIRST)
    await yard.run("UPDATE servers SET removed_at = now()")

    assert await forget(yard) == 0
    await yard.run("UPDATE servers SET removed_at = now() - interval '3 days'")
    assert await forget(yard) == 1


async def test_pages_that_no_server_has_are_forgotten(yard: Yard) -> None:
    first, second = pages.told(extensions=["/extensions/a/a.js"]), pages.told(extensions=["/extensions/b/b.js"])
    await yard.server()
    for told in (first, second):
        async with yard.database.transaction() as tx:
            await catalogs.save_pages(tx, SERVER, told)
    await yard.run("UPDATE server_pages SET created_at = now() - interval '3 days'")

    async with yard.database.transaction() as tx:
        forgotten = await aging.forget_pages(tx)

    async with yard.database.transaction() as tx:
        assert await catalogs.pages(tx, [first.digest, second.digest]) == [second]
        assert await catalogs.page_digests(tx) == {SERVER: second.digest}
    assert forgotten == 1


async def test_a_server_that_is_about_to_have_it_keeps_it(yard: Yard) -> None:
    await yard.server()
    await tell(yard, FIRST, SECOND)

    async with yard.database.transaction() as learning:
        await catalogs.save_inventory(learning, SERVER, FIRST, {})
        assert await forget(yard) == 0

    assert await forget(yard) == 1
    assert await digests(yard) == [FIRST.digest]


async def test_a_server_that_comes_while_it_is_forgotten_brings_it_back(yard: Yard) -> None:
    await yard.server()
    await tell(yard, FIRST, SECOND)

    async def learn() -> None:
        async with late.transaction():
            await catalogs.save_inventory(late, SERVER, FIRST, {})

    async with (
        await yard.database.connect() as late,
        asyncio.TaskGroup() as group,
        yard.database.transaction() as forgetting,
    ):
        assert await aging.forget_inventories(forgetting) == 1
        group.create_task(learn())
        await blocked(forgetting, late.info.backend_pid)

    assert sorted(await digests(yard)) == sorted([FIRST.digest, SECOND.digest])


async def test_times_that_nobody_measured_for_long_are_forgotten(yard: Yard) -> None:
    async with yard.database.transaction() as tx:
        await measures.save_run_times(tx, {(b"old", SERVER): 1.0, (b"new", SERVER): 1.0})
        await measures.save_load_times(tx, {("old", SERVER): 1.0, ("new", SERVER): 1.0})
    await yard.run("UPDATE run_times SET updated_at = now() - interval '31 days' WHERE shape = 'old'")
    await yard.run("UPDATE load_times SET updated_at = now() - interval '31 days' WHERE lane = 'old'")

    async with yard.database.transaction() as tx:
        assert await aging.forget_measures(tx) == 2

    assert await yard.rows("SELECT lane FROM load_times") == [("new",)]
    assert [bytes(row[0]) for row in await yard.rows("SELECT shape FROM run_times")] == [b"new"]


async def test_files_are_forgotten_a_month_after_they_were_to_go_or_with_their_server(yard: Yard) -> None:
    await yard.server()
    async with yard.database.transaction() as tx:
        for server in (SERVER, ServerId("gone")):
            for name in ("young", "old", "leaving", "left"):
                await deposits.add(tx, server, Deposit(name, f"input/atelier/{name}", 1))
    await yard.run("UPDATE server_files SET used_at = now() - interval '40 days' WHERE name = 'old'")
    await yard.run("UPDATE server_files SET leaving_at = now() WHERE name = 'leaving'")
    await yard.run("UPDATE server_files SET leaving_at = now() - interval '40 days' WHERE name = 'left'")

    async with yard.database.transaction() as tx:
        assert await aging.forget_files(tx) == 3

    assert await yard.rows("SELECT server_id, name FROM server_files ORDER BY server_id, name") == [
        *(("gone", name) for name in ("leaving", "young")),
        *((SERVER, name) for name in ("leaving", "old", "young")),
    ]
