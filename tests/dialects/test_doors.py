"""Every way to say who asks works in every dialect and on sockets, and none of them leaves a trace."""

import base64
import dataclasses
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import aiohttp
import httpx
import pytest

from atelier.accounts import service as accounts
from atelier.dialects.services import Services
from atelier.kit import log
from atelier.kit.database import Database
from support.graphs import picture
from support.serving import Tenant, make_tenant
from support.sockets import api_process

DIALECTS = {
    "Comfy API v2": "/api/v2/jobs",
    "Atelier": "/api/v1/queue",
    "ComfyUI": "/queue",
    "ComfyUI under /api": "/api/queue",
    "ComfyUI as the editor asks": "/comfy/api/queue",
    "its twin in v2's place": "/api/v2/userdata",
}


@dataclass
class Ask:
    """How a request says its key."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    prefix: str = ""
    query: str = ""


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


WAYS: dict[str, Callable[[str], Ask]] = {
    "Bearer": lambda key: Ask({"Authorization": f"Bearer {key}"}),
    "bearer": lambda key: Ask({"authorization": f"bearer  {key}"}),
    "Key": lambda key: Ask({"Authorization": f"Key {key}"}),
    "X-API-Key": lambda key: Ask({"X-API-Key": key}),
    "Basic": lambda key: Ask({"Authorization": basic(f"anybody:{key}")}),
    "Basic, as the user": lambda key: Ask({"Authorization": basic(f"{key}:")}),
    "path": lambda key: Ask(prefix=f"/k/{key}"),
    "path, escaped": lambda key: Ask(prefix=f"/%6B/{key.replace('_', '%5F', 1)}"),
    "twice the same": lambda key: Ask({"X-API-Key": key, "Authorization": f"Bearer {key}"}, f"/k/{key}"),
    "beside somebody else's": lambda key: Ask({"X-API-Key": key, "Authorization": "Bearer eyJhbGciOi.other"}),
}

WRONG = (f"atl_{'x' * 43}", "atl_short", "sk-1234567890", "atl_" + "ä" * 43)


@pytest.fixture
async def url(services: Services) -> AsyncGenerator[str]:
    async with api_process(services) as address:
        yield address


@pytest.fixture
async def revoked(database: Database) -> str:
    tenant = await make_tenant(database, "former")
    async with database.transaction() as tx:
        [key] = await accounts.list_keys(tx, tenant.account_id)
        await accounts.revoke_key(tx, key.id)
    return tenant.key


async def status(url: str, path: str, ask: Ask) -> int:
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 - there is no TLS here, and its set-up is slow
        sent = [(name.encode(), value.encode()) for name, value in ask.headers.items()]
        return (await http.get(f"{url}{ask.prefix}{path}{ask.query}", headers=sent)).status_code


async def socket_status(url: str, path: str, ask: Ask) -> int:
    """101, or what the handshake was refused with."""
    async with aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(f"{url}{ask.prefix}{path}{ask.query}", headers=ask.headers):
                return 101
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status


async def statuses(url: str, ask: Ask) -> dict[str, int]:
    return {name: await status(url, path, ask) for name, path in DIALECTS.items()}


async def test_each_way_opens_each_dialect(url: str, tenant: Tenant) -> None:
    for name, way in WAYS.items():
        found = await statuses(url, way(tenant.key))

        assert set(found.values()) == {200}, (name, found)


async def test_a_wrong_key_opens_no_dialect_in_any_way(url: str, revoked: str) -> None:
    for name, way in WAYS.items():
        for wrong in (revoked, *WRONG):
            found = await statuses(url, way(wrong))

            assert set(found.values()) == {401}, (name, wrong, found)


async def test_nothing_at_all_opens_no_dialect(url: str) -> None:
    assert set((await statuses(url, Ask())).values()) == {401}
    for way in ({"Authorization": "Bearer"}, {"Authorization": "Basic"}, {"X-API-Key": ""}, {"Cookie": "a=b"}):
        assert set((await statuses(url, Ask(way))).values()) == {401}


SOCKET_WAYS = WAYS | {
    "token": lambda key: Ask(query=f"?clientId=mine&token={key}"),
    "token first": lambda key: Ask(query=f"?token={key}&clientId=mine"),
}


@pytest.mark.parametrize("path", ["/ws", "/api/ws", "/comfy/ws"])
async def test_each_way_opens_sockets_and_none_with_a_wrong_key(
    url: str, tenant: Tenant, revoked: str, path: str
) -> None:
    for name, way in SOCKET_WAYS.items():
        assert await socket_status(url, path, way(tenant.key)) == 101, name
        assert await socket_status(url, path, way(revoked)) == 401, name
        assert await socket_status(url, path, way(WRONG[0])) == 401, name


async def test_the_user_of_an_address_opens_a_socket(url: str, tenant: Tenant) -> None:
    named = url.replace("http://", f"ws://me:{tenant.key}@")

    async with aiohttp.ClientSession() as http, http.ws_connect(f"{named}/ws?clientId=a") as socket:
        first = await socket.receive_json()

    assert first["data"]["sid"] == "a"


async def test_a_token_in_the_query_is_for_sockets_alone(url: str, tenant: Tenant) -> None:
    assert await status(url, "/queue", Ask(query=f"?token={tenant.key}")) == 401


async def test_two_different_keys_are_refused_and_not_chosen_from(
    url: str, tenant: Tenant, stranger: Tenant
) -> None:
    both = Ask({"Authorization": f"Bearer {tenant.key}", "X-API-Key": stranger.key})
    nested = Ask(prefix=f"/k/{tenant.key}/k/{stranger.key}")
    twice = [("Authorization", f"Bearer {tenant.key}"), ("Authorization", f"Bearer {stranger.key}")]

    assert await status(url, "/queue", both) == 401
    assert await status(url, "/queue", nested) == 401
    assert await socket_status(url, "/ws", dataclasses.replace(both, query="?clientId=a")) == 401
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/queue", headers=twice)).status_code == 401


async def test_a_key_before_the_path_leaves_the_path_as_it_was(url: str, tenant: Tenant) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/k/{tenant.key}") as http:
        kept = await http.post("/api/userdata/workflows%2Fa%20b.json", content=b"{}")
        read = await http.get("/userdata/workflows%2Fa%20b.json")
        queue = await http.get("/comfy/api/queue")
        unknown = await http.get("/nowhere")

    assert (kept.status_code, kept.json()) == (200, "workflows/a b.json")
    assert (read.status_code, read.content) == (200, b"{}")
    assert queue.json() == {"queue_running": [], "queue_pending": []}
    assert (unknown.status_code, unknown.text) == (404, "404: Not Found")


async def test_answers_under_a_key_tell_nobody_the_key(url: str, tenant: Tenant) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/k/{tenant.key}") as http:
        uploaded = await http.post("/api/v2/assets", files={"file": ("a.png", b"x" * 100)})
        job = await http.post("/api/v2/jobs", json={"workflow": picture()})
        answers = [uploaded, job]
        answers += [await http.get(path) for path in ("/", "/comfy", "/comfy/", "/login", "/nowhere", "/files/x")]
        answers += [await http.post("/prompt", content=b"not json"), await http.put("/queue")]
        fetched = await http.get(uploaded.json()["url"])

    assert uploaded.status_code == 201
    assert fetched.status_code == 200
    for answer in answers:
        told = answer.text + str(answer.headers.multi_items())
        assert tenant.key not in told, answer.url.path
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_page_under_a_key_goes_on_under_the_key(url: str, tenant: Tenant) -> None:
    async with httpx.AsyncClient(follow_redirects=True) as http:
        answer = await http.get(f"{url}/k/{tenant.key}/comfy")

    assert answer.url.path == f"/k/{tenant.key}/comfy/"
    assert "API key" not in answer.text


@pytest.mark.parametrize("path", ["/x/{key}", "//k/{key}/queue", "/api/k/{key}/queue", "/userdata/{key}"])
async def test_a_key_in_another_place_of_a_path_is_nothing(url: str, tenant: Tenant, path: str) -> None:
    async with httpx.AsyncClient(headers=tenant.headers) as http:
        answer = await http.get(url + path.format(key=tenant.key))

    assert answer.status_code in {200, 404}
    assert tenant.key not in answer.text


async def test_a_key_that_a_path_spells_otherwise_is_found_as_well(url: str, tenant: Tenant) -> None:
    async with httpx.AsyncClient(headers=tenant.headers) as http:
        answer = await http.get(f"{url}/object_info/{tenant.key.replace('_', '%5F')}")

    assert answer.status_code == 404


async def test_no_cache_keeps_for_others_what_one_was_answered(url: str, tenant: Tenant) -> None:
    asked = [*DIALECTS.values(), "/history", "/api/jobs", "/settings", "/nowhere", "/view?filename=x.png"]
    async with httpx.AsyncClient(base_url=url, headers=tenant.headers) as http:
        found = {path: (await http.get(path)).headers.get("cache-control", "") for path in asked}

    assert {
        path: said for path, said in found.items() if not {"private", "no-store"} & set(said.split(", "))
    } == {}


async def test_a_socket_that_is_refused_is_no_error_of_ours(
    services: Services, tenant: Tenant, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", "json")
    foreign = Ask({**tenant.headers, "Origin": "http://evil.example"})
    async with api_process(services) as url:
        found = [await socket_status(url, path, foreign) for path in ("/ws", "/comfy/ws")]
        found += [await socket_status(url, path, Ask()) for path in ("/ws", "/nowhere")]

    assert found == [403, 403, 401, 403]
    assert '"error"' not in "".join(capfd.readouterr())


async def test_nothing_of_a_key_is_logged_in_any_way(
    services: Services, tenant: Tenant, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("debug", "json")
    wrong = f"atl_{'Wr0ngWr0ng' * 4}abc"
    async with api_process(services) as url:
        for way in SOCKET_WAYS.values():
            for key in (tenant.key, wrong):
                await status(url, "/queue", way(key))
                await status(url, "/nowhere", way(key))
                await socket_status(url, "/ws", way(key))
                await socket_status(url, "/nowhere", way(key))
        await services.database.close()
        for way in WAYS.values():
            await status(url, "/queue", way(tenant.key))

    said = "".join(capfd.readouterr())
    assert tenant.key[4:] not in said
    assert wrong[4:] not in said
    for key in (tenant.key, wrong):
        assert basic(f"anybody:{key}").removeprefix("Basic ") not in said
