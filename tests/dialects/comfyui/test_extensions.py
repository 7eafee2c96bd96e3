"""What packs bring into the editor is told for the whole fleet and fetched from a server that has the pack."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator

import httpx
import pytest

from atelier.dialects.comfyui.copies import FRESH_SECONDS
from atelier.dialects.comfyui.extensions import is_plain
from atelier.dialects.services import Services
from atelier.dispatch.leafing import LARGEST_FILE
from atelier.fleet.model import Health
from atelier.simulator.config import SimulatorConfig
from support.comfy_standin import StandIn, standing_in
from support.fleet import simulator
from support.serving import Tenant
from support.showroom import Showroom, showroom


@pytest.fixture
async def room(services: Services) -> AsyncGenerator[Showroom]:
    async with showroom(services) as made:
        yield made


@pytest.fixture
async def client(room: Showroom, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=room.url, headers=tenant.headers) as made:
        yield made


@pytest.fixture
async def two(room: Showroom) -> AsyncGenerator[None]:
    """A server without packs, and one with two."""
    async with simulator(SimulatorConfig()) as plain, simulator(SimulatorConfig(packs=("spark", "glow"))) as rich:
        await room.server(plain, "a")
        await room.server(rich, "b")
        yield


@pytest.fixture
async def standin() -> AsyncGenerator[StandIn]:
    async with standing_in() as server:
        server.says("/object_info", {"A": {"input": {}, "output": []}})
        server.says("/system_stats", {"system": {}})
        server.says("/models", [])
        yield server


@pytest.mark.usefixtures("two")
async def test_what_any_server_adds_is_there(client: httpx.AsyncClient) -> None:
    extensions = (await client.get("/api/extensions")).json()
    translations = (await client.get("/i18n")).json()
    templates = (await client.get("/workflow_templates")).json()
    replacements = (await client.get("/node_replacements")).json()

    assert extensions == ["/extensions/spark/spark.js", "/extensions/glow/glow.js"]
    assert translations["en"]["nodeDefs"].keys() == {"spark", "glow"}
    assert templates == {"spark": ["simulated start"], "glow": ["simulated start"]}
    assert replacements == {f"Old {pack}": [{"new_node_id": "EmptyImage"}] for pack in ("spark", "glow")}


@pytest.mark.usefixtures("two")
async def test_files_of_a_pack_come_from_the_server_that_has_it(client: httpx.AsyncClient) -> None:
    script = await client.get("/extensions/spark/spark.js")
    style = await client.get("/extensions/spark/spark.css")
    again = await client.get("/extensions/spark/spark.js", headers={"If-None-Match": script.headers["etag"]})

    assert "simulated.spark" in script.text
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert style.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in script.headers
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.usefixtures("two")
async def test_templates_and_subgraphs_come_with_what_is_in_them(client: httpx.AsyncClient) -> None:
    template = await client.get("/api/workflow_templates/glow/simulated%20start.json")
    listed = (await client.get("/global_subgraphs")).json()
    one = await client.get("/api/global_subgraphs/spark")

    assert template.json() == {"nodes": [], "links": [], "version": 0.4}
    assert "data" not in listed["spark"]
    assert one.json() == {**listed["spark"], "data": one.json()["data"]}
    assert "definitions" in one.json()["data"]
    assert (await client.get("/global_subgraphs/nope")).status_code == 404
    assert (await client.get("/workflow_templates/glow/simulated%20start.json")).status_code == 404


@pytest.mark.usefixtures("two")
async def test_nothing_else_of_a_server_can_be_fetched(client: httpx.AsyncClient) -> None:
    tried = (
        "/extensions/nope/nope.js",
        "/extensions/spark/nope.js",
        "/extensions/spark/..%2f..%2f..%2fqueue",
        "/extensions/spark/%2e%2e/%2e%2e/queue",
        "/extensions/spark/%252e%252e%252fqueue",
        "/extensions/spark/..%5c..%5cqueue",
        "/extensions/spark//queue",
        "/extensions/core/groupNode.js",
        "/api/workflow_templates/spark/%2e%2e/%2e%2e/queue",
    )
    base = str(client.base_url).rstrip("/")

    answers = [await client.get(httpx.URL(base + path)) for path in tried]

    assert {answer.status_code for answer in answers} == {404}
    assert not any(b"queue_running" in answer.content for answer in answers)


@pytest.mark.parametrize("path", ["a/b.js", "/a/..b/c.js", "a b/ü.js", "%61.js"])
def test_a_plain_path_leads_below(path: str) -> None:
    assert is_plain(path)


@pytest.mark.parametrize(
    "path", ["", "/", "a//b", "../a", "a/..", "a/.", "a\\b", "a/%2e%2e/b", "a/%5c", "a\0", "C:/a", "a\n"]
)
def test_no_other_path_is_plain(path: str) -> None:
    assert not is_plain(path)


async def test_a_server_is_told_nothing_of_the_client_and_gets_its_own_headers(
    room: Showroom, client: httpx.AsyncClient, standin: StandIn
) -> None:
    standin.says(
        "/extensions", ["/extensions/my%20pack/x.js", "/extensions/core/y.js", "https://evil.example/z.js"]
    )
    standin.replies("/extensions/my%20pack/x.js", "let x;", Set_Cookie="a=1", X_Secret="s")
    standin.replies("/extensions/my pack/x.js", "let x;", Set_Cookie="a=1", X_Secret="s")
    await room.server(standin.url, "a")
    standin.seen.clear()

    listed = (await client.get("/extensions")).json()
    client.cookies.set("session", "mine")
    answer = await client.get("/extensions/my%20pack/x.js?token=t", headers={"X-API-Key": "k", "Origin": room.url})

    [(_, path, headers, _)] = standin.seen
    assert listed == ["/extensions/my%20pack/x.js"]
    assert answer.text == "let x;"
    assert path == "/extensions/my%20pack/x.js"
    assert not {"authorization", "cookie", "x-api-key", "origin", "referer"} & {name.lower() for name in headers}
    assert not {"set-cookie", "x-secret"} & answer.headers.keys()


async def test_a_file_outlives_the_server_that_it_came_from(room: Showroom, client: httpx.AsyncClient) -> None:
    async with simulator(SimulatorConfig(packs=("spark",))) as url:
        await room.server(url, "a")
        before = await client.get("/extensions/spark/spark.js")
    await room.health("a", Health.OFFLINE)

    after = await client.get("/extensions/spark/spark.js")
    never = await client.get("/extensions/spark/spark.css")

    assert after.content == before.content
    assert never.status_code == 404


async def test_many_who_ask_at_once_cost_a_server_one_request(
    room: Showroom, client: httpx.AsyncClient, standin: StandIn
) -> None:
    standin.says("/extensions", ["/extensions/a/a.js"])
    standin.replies("/extensions/a/a.js", "let a;")
    await room.server(standin.url, "a")
    standin.seen.clear()

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(client.get("/extensions/a/a.js")) for _ in range(10)]

    assert {task.result().text for task in asked} == {"let a;"}
    assert len(standin.seen) == 1


async def test_a_server_that_fails_does_not_take_a_file_away(
    room: Showroom, client: httpx.AsyncClient, standin: StandIn
) -> None:
    standin.says("/extensions", ["/extensions/a/a.js"])
    standin.replies("/extensions/a/a.js", "let a;")
    await room.server(standin.url, "a")
    await client.get("/extensions/a/a.js")
    standin.says("/extensions/a/a.js", {}, 500)
    _make_stale(room)

    answer = await client.get("/extensions/a/a.js")

    assert answer.text == "let a;"
    assert len([one for one in standin.seen if one[1] == "/extensions/a/a.js"]) == 2


async def test_a_file_that_changed_on_its_server_changes_here(
    room: Showroom, client: httpx.AsyncClient, standin: StandIn
) -> None:
    standin.says("/extensions", ["/extensions/a/a.js"])
    standin.replies("/extensions/a/a.js", "let a;", ETag='"1"')
    await room.server(standin.url, "a")
    await client.get("/extensions/a/a.js")
    standin.replies("/extensions/a/a.js", "", 304)
    _make_stale(room)
    same = await client.get("/extensions/a/a.js")
    standin.replies("/extensions/a/a.js", "let b;")
    _make_stale(room)

    changed = await client.get("/extensions/a/a.js")

    assert (same.text, changed.text) == ("let a;", "let b;")
    assert standin.seen[-1][2]["If-None-Match"] == '"1"'


def _make_stale(room: Showroom) -> None:
    """As if a minute had passed."""
    copies = room.services.shelf.copies
    for key, copy in copies._kept.items():
        copies._kept[key] = dataclasses.replace(copy, at=copy.at - FRESH_SECONDS)


async def test_of_servers_that_this_process_cannot_reach_comes_what_their_dispatcher_brought(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async with simulator(SimulatorConfig(packs=("spark",))) as url:
        await room.server(url, "private", owner="laptop")

        listed = (await client.get("/extensions")).json()
        script = await client.get("/extensions/spark/spark.js")
        unnamed = await client.get("/extensions/spark/spark.css")
        template = await client.get("/api/workflow_templates/spark/simulated%20start.json")

    assert listed == ["/extensions/spark/spark.js"]
    assert "simulated.spark" in script.text
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert template.json()["version"] == 0.4
    assert unnamed.status_code == 404


async def test_scripts_that_were_too_large_to_come_along_are_not_listed(
    room: Showroom, client: httpx.AsyncClient, standin: StandIn
) -> None:
    standin.says("/extensions", ["/extensions/a/big.js", "/extensions/a/small.js"])
    standin.replies("/extensions/a/big.js", "x" * (LARGEST_FILE + 1))
    standin.replies("/extensions/a/small.js", "x")
    standin.says("/workflow_templates", {"a": ["gone"]})
    await room.server(standin.url, "private", owner="laptop")

    assert (await client.get("/extensions")).json() == ["/extensions/a/small.js"]
    assert (await client.get("/workflow_templates")).json() == {}


async def test_an_old_server_adds_nothing(room: Showroom, client: httpx.AsyncClient, standin: StandIn) -> None:
    await room.server(standin.url, "old")

    paths = ("/i18n", "/workflow_templates", "/global_subgraphs", "/node_replacements")
    answers = [(await client.get(path)).json() for path in paths]

    assert (await client.get("/extensions")).json() == []
    assert answers == [{}] * 4


async def test_what_two_servers_translate_is_merged_word_by_word(
    room: Showroom, client: httpx.AsyncClient, standin: StandIn
) -> None:
    standin.says("/i18n", {"en": {"nodeDefs": {"A": "first"}, "x": 1}})
    await room.server(standin.url, "a")
    standin.says("/i18n", {"en": {"nodeDefs": {"A": "second", "B": "b"}}, "fr": {"x": 2}, "odd": 5})
    async with standing_in() as second:
        second.answers = dict(standin.answers)
        await room.server(second.url, "b")

        merged = (await client.get("/i18n")).json()

    assert merged == {"en": {"nodeDefs": {"A": "first", "B": "b"}, "x": 1}, "fr": {"x": 2}}
