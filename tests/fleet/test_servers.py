"""Servers are named by settings and by people; an address belongs to one server."""

import asyncio

import pytest

from atelier.fleet import service
from atelier.fleet.model import Health, Origin, Server
from atelier.fleet.service import InvalidServer, Named, ServerExists, ServerNotFound, id_from_url, normal_url
from atelier.fleet.store import measures, roster
from atelier.kit.ids import ServerId
from support.yard import SERVER, Yard

URL = "http://gpu-1:8188"


async def add(yard: Yard, url: str, server_id: str | None = None, **more: str) -> ServerId:
    async with yard.database.transaction() as tx:
        return await service.add(tx, url, server_id=server_id, headers=more)


async def follow(yard: Yard, *urls: str, origin: Origin = Origin.SETTING) -> list[ServerId]:
    async with yard.database.transaction() as tx:
        return await service.follow_setting(tx, [Named(url) for url in urls], origin)


async def listed(yard: Yard) -> list[Server]:
    async with yard.database.transaction() as tx:
        return await service.servers(tx)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        (" https://gpu.example.com/comfy/ ", "https://gpu.example.com/comfy"),
        ("http://[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_an_address_is_written_in_one_way(given: str, url: str) -> None:
    assert normal_url(given) == url


@pytest.mark.parametrize(
    "given", ["", "ftp://gpu", "http://", "http://gpu:port", "http://gpu:99999", "http://gpu?x=1"]
)
def test_what_is_no_address_is_refused_with_the_cure(given: str) -> None:
    with pytest.raises(InvalidServer, match=r"write it like http://127\.0\.0\.1:8188"):
        normal_url(given)


@pytest.mark.parametrize(
    ("url", "server_id"),
    [
        ("http://127.0.0.1:8188", "127.0.0.1-8188"),
        ("https://gpu.example.com/comfy/a", "gpu.example.com-comfy-a"),
        ("http://[::1]:8188", "1-8188"),
        ("http://" + "x" * 80, "x" * 63),
    ],
)
def test_a_server_that_nobody_named_is_called_by_its_address(url: str, server_id: str) -> None:
    assert id_from_url(url) == server_id


async def test_an_added_server_is_listed_and_leasable(yard: Yard) -> None:
    server_id = await add(yard, URL, authorization="secret")

    [server] = await listed(yard)

    assert (server.id, server.url, server.origin) == (server_id, URL, Origin.ADDED)
    assert (server.health, server.enabled) == (Health.UNKNOWN, True)
    assert "secret" not in repr(server)
    assert await yard.fences(await yard.dispatcher()) == {server_id: 1}


async def test_adding_it_again_changes_it_and_keeps_its_lease(yard: Yard) -> None:
    await add(yard, URL, "one")
    me = await yard.dispatcher()

    await add(yard, "http://gpu-2:8188", "one", authorization="new")

    [server] = await listed(yard)
    assert (server.url, server.headers) == ("http://gpu-2:8188", {"authorization": "new"})
    assert await yard.fences(me) == {"one": 1}


async def test_an_address_belongs_to_one_server(yard: Yard) -> None:
    await add(yard, URL, "one")

    with pytest.raises(ServerExists, match="as one"):
        await add(yard, URL, "two")

    assert await add(yard, URL) == "one"


@pytest.mark.parametrize("server_id", ["-one", "a b", "x" * 64, "ä"])
async def test_an_id_is_something_that_can_be_typed(yard: Yard, server_id: str) -> None:
    with pytest.raises(InvalidServer):
        await add(yard, URL, server_id)


async def test_a_removed_server_is_gone_until_it_is_added_again(yard: Yard) -> None:
    await add(yard, URL, "one")
    async with yard.database.transaction() as tx:
        await service.remove(tx, ServerId("one"))
        with pytest.raises(ServerNotFound):
            await service.remove(tx, ServerId("one"))
    assert await listed(yard) == []

    await add(yard, URL, "one")

    assert [server.id for server in await listed(yard)] == ["one"]


async def test_a_setting_says_which_of_its_servers_there_are(yard: Yard) -> None:
    await add(yard, "http://added:1", "added")
    await follow(yard, "http://a:1", "http://b:1")

    await follow(yard, "http://b:1", "http://c:1")

    assert [server.id for server in await listed(yard)] == ["added", "b-1", "c-1"]


async def test_a_setting_that_did_not_change_leaves_leases_alone(yard: Yard) -> None:
    await follow(yard, "http://a:1")
    me = await yard.dispatcher()

    await follow(yard, "http://a:1")

    assert await yard.fences(me) == {"a-1": 1}


async def test_health_is_written_when_it_changes(yard: Yard) -> None:
    await yard.server()

    async with yard.database.transaction() as tx:
        changes = [
            await roster.save_health(tx, SERVER, health, "")
            for health in (Health.READY, Health.READY, Health.OFFLINE)
        ]

    assert changes == [True, False, True]


async def test_run_times_are_kept_and_counted(yard: Yard) -> None:
    measured = {(b"b", SERVER): 2.0, (b"a", SERVER): 1.0}
    async with yard.database.transaction() as tx:
        await measures.save_run_times(tx, measured)
        await measures.save_run_times(tx, {(b"a", SERVER): 3.0})
        assert await measures.run_times(tx) == {**measured, (b"a", SERVER): 3.0}

    assert await yard.rows("SELECT shape, runs FROM run_times ORDER BY shape") == [(b"a", 2), (b"b", 1)]


async def test_one_new_address_that_two_add_at_once_is_one_server(yard: Yard) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        adding = [group.create_task(add(yard, URL)) for _ in range(8)]

    assert {task.result() for task in adding} == {id_from_url(URL)}
    assert [server.url for server in await listed(yard)] == [URL]
