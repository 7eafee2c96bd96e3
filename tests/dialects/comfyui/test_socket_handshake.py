"""Who may open a socket, how it is greeted, and what may be said on it."""

import contextlib
import dataclasses
import json
import re
from collections.abc import AsyncGenerator

import aiohttp
import pytest

from atelier.dialects.comfyui.hub import Hub
from atelier.dialects.comfyui.sockets import Places
from atelier.dialects.services import Services
from support.serving import Tenant
from support.sockets import Closed, api_process, connected, opened


@pytest.fixture
async def url(services: Services) -> AsyncGenerator[str]:
    async with api_process(services) as address:
        yield address


async def refused(url: str, headers: dict[str, str], path: str = "/ws") -> int:
    async with aiohttp.ClientSession(headers=headers) as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as failure:
            await http.ws_connect(f"{url}{path}")
        return failure.value.status


async def test_nobody_comes_in_without_a_key(url: str, tenant: Tenant) -> None:
    assert await refused(url, {}) == 401
    assert await refused(url, {"Authorization": "Bearer atl_nonsense"}) == 401
    assert await refused(url, {}, "/api/ws") == 401
    assert await refused(url, tenant.headers, "/other") in {403, 404}


async def test_who_is_turned_away_is_told_so_in_the_shape_of_the_other_errors(url: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }

    async with aiohttp.ClientSession() as http, http.get(f"{url}/ws", headers=upgrade) as answer:
        told = await answer.json()

    assert (answer.status, told["error"]["type"], told["node_errors"]) == (401, "unauthorized", {})


async def test_a_key_in_the_address_opens_a_socket(url: str, tenant: Tenant) -> None:
    async with connected(url, {}, path=f"/ws?token={tenant.key}") as socket:
        assert socket.types() == ["status"]


@pytest.mark.parametrize("path", ["/ws", "/api/ws"])
async def test_the_first_message_is_the_status_with_the_address(url: str, tenant: Tenant, path: str) -> None:
    async with connected(url, tenant.headers, "my-id", path=path) as socket:
        assert socket.heard == [
            {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "my-id"}}
        ]


async def test_a_client_without_an_id_is_given_one(url: str, tenant: Tenant) -> None:
    for path in ("/ws", "/ws?clientId="):
        async with connected(url, tenant.headers, path=path) as socket:
            assert re.fullmatch("[0-9a-f]{32}", socket.heard[0]["data"]["sid"])


async def test_flags_are_answered_with_the_servers(url: str, tenant: Tenant, services: Services) -> None:
    async with connected(url, tenant.headers) as socket:
        await socket.ws.send_str("{no json")
        await socket.ws.send_json([1])
        await socket.ws.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        flags = await socket.until("feature_flags")

    assert flags["supports_preview_metadata"] is True
    assert flags["max_upload_size"] == services.upload_limit


async def test_flags_that_are_not_the_first_message_mean_nothing(url: str, tenant: Tenant) -> None:
    async with connected(url, tenant.headers) as socket:
        await socket.ws.send_json({"type": "hello"})
        await socket.ws.send_json({"type": "feature_flags", "data": {}})
        await socket.ws.send_str("[" * 20_000)
        await socket.ws.send_bytes(b"{}")

        assert await socket.quiet() == []


async def test_the_features_of_http_are_those_of_the_socket(url: str, tenant: Tenant) -> None:
    async with connected(url, tenant.headers, flags={}) as socket, aiohttp.ClientSession() as http:
        answer = await http.get(f"{url}/features", headers=tenant.headers)

        assert await answer.json() == socket.heard[-1]["data"]


async def test_a_plain_request_is_told_that_this_is_a_socket(url: str, tenant: Tenant) -> None:
    async with aiohttp.ClientSession() as http:
        answer = await http.get(f"{url}/ws", headers=tenant.headers)

        assert (answer.status, "WebSocket" in await answer.text()) == (400, True)


async def test_who_talks_without_end_is_put_out(url: str, tenant: Tenant) -> None:
    async with connected(url, tenant.headers) as socket:
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                await socket.ws.send_str("{}")

        assert (await socket.closed()).code == 1008


async def test_a_message_larger_than_flags_can_be_is_not_read(url: str, tenant: Tenant) -> None:
    async with connected(url, tenant.headers) as socket:
        await socket.ws.send_str(json.dumps({"type": "feature_flags", "data": {"x": "x" * 100_000}}))

        assert (await socket.closed()).code == 1009


async def test_a_client_id_is_bounded(url: str, tenant: Tenant) -> None:
    assert await refused(url, tenant.headers, f"/ws?clientId={'x' * 2000}") == 400


async def test_a_stopping_process_says_goodbye(services: Services, tenant: Tenant) -> None:
    async with contextlib.AsyncExitStack() as clients:
        async with api_process(services) as url:
            socket = await clients.enter_async_context(connected(url, tenant.headers))

        assert (await socket.closed()).code == 1001


async def test_an_account_has_so_many_sockets_and_others_have_theirs(
    services: Services, tenant: Tenant, stranger: Tenant
) -> None:
    services = dataclasses.replace(services, hub=Hub(Places(per_account=2, in_all=3)))
    async with (
        api_process(services) as url,
        connected(url, tenant.headers),
        connected(url, tenant.headers) as second,
    ):
        assert await refused(url, tenant.headers) == 429

        async with connected(url, stranger.headers):
            assert await refused(url, stranger.headers) == 503

        await second.ws.close()
        await opened(services, 1)
        async with connected(url, tenant.headers):
            pass


async def test_a_socket_that_is_closed_leaves_nothing_behind(services: Services, tenant: Tenant) -> None:
    async with api_process(services) as url:
        for _ in range(20):
            async with connected(url, tenant.headers):
                pass
        await opened(services, 0)

        assert not services.hub.places._of
        assert [bool(follower.audience) for follower in services.hub._followers.values()] == [False]


async def test_closed_tells_why(url: str, tenant: Tenant) -> None:
    async with connected(url, tenant.headers) as socket:
        await socket.ws.close()

        with pytest.raises(Closed):
            await socket.receive()
