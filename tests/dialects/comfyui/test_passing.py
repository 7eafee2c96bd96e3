"""A route that only packs have is passed on where the operator allows it: to one server, without who asks."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from atelier.dialects.comfyui import api
from atelier.dialects.comfyui.packs import fits
from atelier.dialects.comfyui.passing import OF_COMFYUI, may_pass, root_of
from atelier.dialects.services import Services
from atelier.fleet.model import Health
from atelier.simulator.config import SimulatorConfig
from support.comfy_standin import StandIn, raw_server, standing_in
from support.fleet import simulator
from support.serving import Tenant
from support.showroom import Showroom, showroom


@pytest.fixture
async def room(services: Services) -> AsyncGenerator[Showroom]:
    async with showroom(services, custom_routes=True) as made:
        yield made


@pytest.fixture
async def client(room: Showroom, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=room.url, headers=tenant.headers) as made:
        yield made


@contextlib.asynccontextmanager
async def rich_server(room: Showroom, server_id: str, seed: int = 0) -> AsyncGenerator[None]:
    async with simulator(SimulatorConfig(packs=("spark",), seed=seed)) as url:
        await room.server(url, server_id)
        yield


@contextlib.asynccontextmanager
async def standin_server(room: Showroom, server_id: str = "a") -> AsyncGenerator[StandIn]:
    async with standing_in() as server:
        server.says("/object_info", {"A": {"input": {}, "output": []}})
        server.says("/system_stats", {"system": {}})
        server.says("/models", [])
        await room.server(server.url, server_id)
        server.seen.clear()
        yield server


async def test_off_is_the_default(services: Services, tenant: Tenant) -> None:
    async with (
        showroom(services) as room,
        rich_server(room, "a"),
        httpx.AsyncClient(base_url=room.url, headers=tenant.headers) as client,
    ):
        answer = await client.get("/spark/echo")

    assert answer.status_code == 404


async def test_any_method_reaches_a_server_that_has_the_pack(room: Showroom, client: httpx.AsyncClient) -> None:
    async with simulator() as plain, rich_server(room, "b"):
        await room.server(plain, "a")
        told = [
            await client.request(method, "/api/spark/echo?x=1&y=a%20b") for method in ("GET", "PATCH", "DELETE")
        ]

    assert [one.json()["method"] for one in told] == ["GET", "PATCH", "DELETE"]
    assert {one.json()["path"] for one in told} == {"/api/spark/echo?x=1&y=a%20b"}


async def test_scripts_in_the_editor_reach_it_below_the_editors_address(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async with rich_server(room, "a"):
        answer = await client.get("/comfy/api/spark/echo")

    assert answer.json()["path"] == "/api/spark/echo"


async def test_bodies_arrive_whole_both_ways(room: Showroom, client: httpx.AsyncClient) -> None:
    body = bytes(range(256)) * 9000

    async with rich_server(room, "a"):
        echoed = (await client.post("/spark/echo", content=body)).json()
        stored = await client.put("/spark/notes/n", content=body)
        read = await client.get("/spark/notes/n")

    assert (echoed["bytes"], echoed["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert (stored.status_code, read.content) == (201, body)


async def test_a_client_stays_with_its_server(room: Showroom, client: httpx.AsyncClient) -> None:
    async with rich_server(room, "a", 1), rich_server(room, "b", 2), rich_server(room, "c", 3):
        rounds = [
            {
                name: (await client.get("/spark/echo", params={"clientId": name})).json()["seed"]
                for name in "abcdefghij"
            }
            for _ in range(2)
        ]

    assert rounds[0] == rounds[1]
    assert len(set(rounds[0].values())) > 1


async def test_who_loses_its_server_goes_to_another(room: Showroom, client: httpx.AsyncClient) -> None:
    async with rich_server(room, "a", 1), rich_server(room, "b", 2):
        first = (await client.get("/spark/echo")).json()["seed"]
        await room.health("a" if first == 1 else "b", Health.QUARANTINED)
        second = (await client.get("/spark/echo")).json()["seed"]

    assert {first, second} == {1, 2}


async def test_nothing_that_says_who_asks_goes_along_or_comes_back(
    room: Showroom, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    async with rich_server(room, "a"):
        client.cookies.set("anything", "mine")
        sent = {"X-Forwarded-For": "1.2.3.4", "Origin": room.url, "X-API-Key": tenant.key, "Content-Type": "a/b"}
        answer = await client.post(f"/spark/echo?token={tenant.key}&a=1", headers=sent, content=b"x")

    headers = answer.json()["headers"]
    assert headers["content-type"] == "a/b"
    assert tenant.key not in answer.text
    assert not headers.keys() & {"authorization", "cookie", "x-api-key", "origin", "x-forwarded-for", "referer"}
    assert answer.json()["path"] == "/spark/echo?a=1"
    assert "set-cookie" not in answer.headers


async def test_a_key_in_the_path_stays_here(room: Showroom, tenant: Tenant) -> None:
    async with rich_server(room, "a"), httpx.AsyncClient(base_url=room.url) as nobody:
        answer = await nobody.get(f"/k/{tenant.key}/api/spark/echo?x=1")

    assert answer.json()["path"] == "/api/spark/echo?x=1"
    assert tenant.key not in answer.text


async def test_a_server_is_asked_with_its_own_headers(room: Showroom, client: httpx.AsyncClient) -> None:
    async with standin_server(room) as server:
        async with room.services.database.transaction() as tx:
            await tx.execute("""UPDATE servers SET headers = '{"Authorization": "Bearer of-the-server"}'""")
        await room.services.intake.fleet.refresh()
        server.says("/mine/x", {"ok": True})

        await client.get("/mine/x")

    [(_, _, headers, _)] = server.seen
    assert headers["Authorization"] == "Bearer of-the-server"


async def test_routes_of_comfyui_of_ours_and_of_operators_are_never_passed(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    tried = [
        ("GET", "/internal/secrets"),
        ("POST", "/api/history/x/y"),
        ("GET", "/api/v1/nope"),
        ("GET", "/api/v2/nope"),
        ("GET", "/docs/x"),
        ("POST", "/manager/reboot"),
        ("POST", "/api/customnode/install"),
        ("GET", "/comfy/nope"),
        ("GET", "/files/x/y/z"),
        ("GET", "/mine/%2e%2e/queue"),
        ("GET", "/mine//queue"),
        ("PUT", "/prompt"),
    ]

    async with standin_server(room) as server:
        answers = [await client.request(method, httpx.URL(room.url + path)) for method, path in tried]

    assert server.seen == []
    assert {answer.status_code for answer in answers} <= {403, 404, 405}


def test_every_route_of_the_native_api_is_known_as_comfyuis() -> None:
    roots = {root_of(route.path) for route in api.ROUTES if isinstance(route, Route)}

    assert roots <= OF_COMFYUI
    assert not any(may_pass(f"/{root}/x") or may_pass(f"/api/{root}") for root in roots | {"", "Prompt"})


async def test_without_a_key_nobody_is_asked(room: Showroom) -> None:
    async with standin_server(room) as server, httpx.AsyncClient(base_url=room.url) as nobody:
        answer = await nobody.get("/mine/x")

    assert (answer.status_code, server.seen) == (401, [])


async def test_a_body_over_the_limit_is_refused_before_anybody_is_asked(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async with standin_server(room) as server:
        answer = await client.post("/mine/x", content=bytes(room.services.upload_limit + 1))

    assert (answer.status_code, server.seen) == (413, [])


async def test_a_server_without_the_route_is_followed_by_the_next(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async with standin_server(room, "a") as first, standin_server(room, "b") as second:
        second.says("/odd/x", {"here": True})

        answers = [await client.post("/odd/x", params={"clientId": name}, content=b"body") for name in "abcdef"]
        missing = await client.get("/odd/y")

    assert [answer.json() for answer in answers] == [{"here": True}] * 6
    assert {body for _, path, _, body in first.seen + second.seen if "/odd/x" in path} == {b"body"}
    assert missing.status_code == 404


async def test_a_redirect_or_a_server_that_is_away_is_told_as_that(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async with standin_server(room) as server:
        server.replies("/mine/x", "", 302, Location="http://internal.example/")
        redirected = await client.get("/mine/x")
    gone = await client.get("/mine/x")

    for answer in (redirected, gone):
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert "location" not in redirected.headers


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async def breaks_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()

    async with raw_server(breaks_off) as url:
        await room.catalogue("a", {})
        async with room.services.database.transaction() as tx:
            await tx.execute("UPDATE servers SET url = %s", (url,))
        await room.services.intake.fleet.refresh()

        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/mine/x")


async def test_answers_of_servers_are_no_pages_of_ours(room: Showroom, client: httpx.AsyncClient) -> None:
    async with standin_server(room) as server:
        server.replies("/mine/x", "<p>hello", Set_Cookie="a=1", Access_Control_Allow_Origin="*", Server="x")
        answer = await client.get("/mine/x")
        head = await client.head("/mine/x")

    assert (answer.text, head.status_code, head.content) == ("<p>hello", 200, b"")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not answer.headers.keys() & {"set-cookie", "access-control-allow-origin"}
    assert answer.headers.get("server") != "x"


@pytest.mark.parametrize(
    ("root", "pack", "fit"),
    [
        ("pysssss", "ComfyUI-Custom-Scripts", False),
        ("easyuse", "ComfyUI-Easy-Use", True),
        ("impact", "ComfyUI-Impact-Pack", True),
        ("rgthree", "rgthree-comfy", True),
        ("x", "xyz", False),
        ("spark", "spark", True),
    ],
)
def test_packs_are_known_by_their_names(root: str, pack: str, fit: Any) -> None:
    assert fits(root, pack) is fit


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"Cache_Control": "public, max-age=86400, s-maxage=99"}, "private, max-age=86400"),
        ({"Cache_Control": "no-store"}, "private, no-store"),
        ({}, "private, no-cache"),
    ],
)
async def test_nobody_keeps_for_others_what_a_pack_answered_to_one(
    room: Showroom, client: httpx.AsyncClient, said: dict[str, str], kept: str
) -> None:
    async with standin_server(room) as server:
        server.replies("/mine/x.png", "picture", 200, **said)

        answer = await client.get("/mine/x.png")

    assert answer.headers["cache-control"] == kept


async def test_a_page_of_a_pack_cannot_act_for_who_looks_at_it(room: Showroom, client: httpx.AsyncClient) -> None:
    async with standin_server(room) as server:
        server.replies("/mine/page", "<script>fetch('/queue')</script>", Content_Security_Policy="none")

        answer = await client.get("/mine/page")

    policy = answer.headers["content-security-policy"].split()
    assert policy[0] == "sandbox"
    assert "allow-same-origin" not in policy
