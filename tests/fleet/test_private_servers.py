"""A server that one dispatcher alone can reach is leased by that one; others only end what it left behind."""

import pytest

from atelier.fleet import service
from atelier.fleet.model import Origin
from atelier.fleet.service import Named, id_from_url
from atelier.fleet.store import leasing, roster
from atelier.kit.ids import DispatcherId, ServerId, new_uuid
from support.yard import Yard

URL = "http://127.0.0.1:8188"


async def named(yard: Yard, owner: str, *urls: str) -> list[ServerId]:
    async with yard.database.transaction() as tx:
        return await service.follow_setting(tx, [Named(url) for url in urls], Origin.SETTING, owner)


async def dispatcher(yard: Yard, name: str, *, seconds: float = 60) -> DispatcherId:
    """A dispatcher of this name that has taken all that it may."""
    me = DispatcherId(new_uuid())
    async with yard.database.transaction() as tx:
        await leasing.beat(tx, me, name, seconds)
        await leasing.acquire(tx, me, 10)
    return me


async def listed(yard: Yard) -> list[tuple[str, str, str]]:
    async with yard.database.transaction() as tx:
        return [(server.id, server.url, server.only_dispatcher) for server in await roster.servers(tx)]


async def gone_for(yard: Yard, name: str, seconds: float) -> None:
    await yard.run(
        "UPDATE dispatchers SET expires_at = clock_timestamp() - make_interval(secs => %s) WHERE name = %s",
        seconds,
        name,
    )


async def test_two_machines_may_call_their_own_server_by_one_address(yard: Yard) -> None:
    await named(yard, "red", URL)
    await named(yard, "blue", URL)

    red, blue = await dispatcher(yard, "red"), await dispatcher(yard, "blue")

    assert await listed(yard) == [("blue-127.0.0.1-8188", URL, "blue"), ("red-127.0.0.1-8188", URL, "red")]
    assert await yard.fences(red) == {"red-127.0.0.1-8188": 1}
    assert await yard.fences(blue) == {"blue-127.0.0.1-8188": 1}


async def test_a_list_replaces_only_its_owners_former_list(yard: Yard) -> None:
    await named(yard, "", "http://shared:1")
    await named(yard, "red", "http://a:1", "http://b:1")
    await named(yard, "blue", "http://c:1")

    await named(yard, "red", "http://b:1", "http://d:1")

    assert sorted(url for _, url, _ in await listed(yard)) == [
        "http://b:1", "http://c:1", "http://d:1", "http://shared:1",
    ]  # fmt: skip


async def test_a_server_that_a_setting_shared_becomes_its_owners(yard: Yard) -> None:
    [shared] = await named(yard, "", URL)

    assert await named(yard, "red", URL) == [shared]
    assert await listed(yard) == [(shared, URL, "red")]


async def test_who_changes_a_private_server_at_run_time_leaves_it_private(yard: Yard) -> None:
    [server_id] = await named(yard, "red", URL)

    async with yard.database.transaction() as tx:
        await service.add(tx, "http://127.0.0.1:9999", server_id=server_id, headers={"X-Key": "1"})

    assert await listed(yard) == [(server_id, "http://127.0.0.1:9999", "red")]


def test_ids_of_long_names_stay_apart() -> None:
    first, second = (id_from_url(URL, "x" * 80 + end) for end in "ab")

    assert first != second
    assert max(len(first), len(second)) <= 63
    assert id_from_url(URL, "gpu box/1") == "gpu-box-1-127.0.0.1-8188"


async def test_nobody_takes_the_private_server_of_another_while_nothing_lives_there(yard: Yard) -> None:
    await named(yard, "red", URL)

    assert await yard.fences(await dispatcher(yard, "blue")) == {}


@pytest.mark.parametrize("in_good_order", [True, False])
async def test_what_lives_on_a_private_server_waits_a_minute_for_its_owner(
    yard: Yard, *, in_good_order: bool
) -> None:
    [server_id] = await named(yard, "red", URL)
    red = await dispatcher(yard, "red")
    await yard.claim(red, (await yard.submit()).id, server_id)
    if in_good_order:
        await yard.leave(red)

    await gone_for(yard, "red", 50)
    assert await yard.fences(await dispatcher(yard, "blue")) == {}

    await gone_for(yard, "red", 70)
    assert await yard.fences(await dispatcher(yard, "green")) == {server_id: 2}


async def test_the_owners_heir_of_the_same_name_takes_it_at_once(yard: Yard) -> None:
    [server_id] = await named(yard, "red", URL)
    claim = await yard.claim(await dispatcher(yard, "red"), (await yard.submit()).id, server_id)
    await gone_for(yard, "red", 1)

    heir = await dispatcher(yard, "red")

    assert await yard.fences(heir) == {server_id: 2}
    assert await yard.rows("SELECT job_id, fence FROM attempts") == [(claim.job_id, 2)]


async def test_an_owner_that_lives_keeps_an_orphan_from_nobody_else(yard: Yard) -> None:
    """It holds no lease just now, but it is there: it will take it itself."""
    [server_id] = await named(yard, "red", URL)
    red = await dispatcher(yard, "red")
    await yard.claim(red, (await yard.submit()).id, server_id)
    async with yard.database.transaction() as tx:
        await leasing.release(tx, red, [server_id])

    async with yard.database.transaction() as tx:
        await leasing.beat(tx, blue := DispatcherId(new_uuid()), "blue", 60)
        [seat] = await leasing.seats(tx, blue)

    assert (seat.owner, seat.free, seat.orphaned) == ("red", True, False)
    assert await yard.fences(await dispatcher(yard, "blue")) == {}
