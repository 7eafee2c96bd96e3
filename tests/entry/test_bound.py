"""A listener that speaks for a key: reached from this machine alone, and by no page of others."""

import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import httpx
import pytest

from atelier.dialects.app import create_app
from atelier.dialects.credentials import COOKIE
from atelier.dialects.doors import BoundListener
from atelier.dialects.services import Services
from atelier.entry.bound import bound_key, bound_listener
from atelier.entry.settings import load
from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed
from atelier.webui import pages
from dialects.conftest import services, stranger, tenant
from support.serving import PEPPER, Tenant, served
from support.terminal import Terminal, stopped

__all__ = ["services", "stranger", "tenant"]


@pytest.fixture
async def bound(services: Services, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    app = BoundListener(create_app(services, pages.ROUTES), tenant.key)
    async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


async def test_everything_is_asked_with_the_bound_key(bound: httpx.AsyncClient, tenant: Tenant) -> None:
    for path in ("/queue", "/api/queue", "/api/v1/queue", "/api/v2/jobs", "/comfy/api/queue"):
        assert (await bound.get(path)).status_code == 200, path
    assert (await bound.post("/settings", json={"of": "tenant"})).status_code == 200
    assert (await bound.get("/settings", headers=tenant.headers)).json() == {"of": "tenant"}


async def test_a_key_that_a_client_sends_all_the_same_is_its_own(
    bound: httpx.AsyncClient, stranger: Tenant
) -> None:
    await bound.post("/settings", json={"of": "tenant"})

    assert (await bound.get("/settings", headers=stranger.headers)).json() == {}
    assert (await bound.get("/queue", headers={"Authorization": f"Bearer atl_{'x' * 43}"})).status_code == 401
    assert (await bound.get("/queue", headers={"Authorization": "Bearer none"})).status_code == 200
    assert (await bound.get("/queue", headers={"Cookie": f"{COOKIE}={'x' * 43}"})).status_code == 200


async def test_a_name_that_is_not_this_machine_is_turned_away(bound: httpx.AsyncClient) -> None:
    port = bound.base_url.port
    hosts = (
        "evil.example",
        f"evil.example:{port}",
        "192.168.1.5",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "",
    )
    for host in hosts:
        answer = await bound.get("/queue", headers={"Host": host})

        assert (answer.status_code, answer.content) == (403, b""), host
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "127.9.9.9", "LOCALHOST"):
        assert (await bound.get("/queue", headers={"Host": host})).status_code == 200, host


async def test_pages_of_others_are_turned_away_whatever_they_ask(bound: httpx.AsyncClient) -> None:
    own = str(bound.base_url).rstrip("/")
    pages_of_others = (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    )
    for said in pages_of_others:
        for method in ("GET", "POST", "OPTIONS"):
            answer = await bound.request(method, "/queue", headers=said)

            assert answer.status_code == 403, said
            assert "access-control-allow-origin" not in answer.headers
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await bound.get("/health", headers=link)).status_code == 200
    assert (await bound.post("/queue", json={}, headers=link)).status_code == 403
    for said in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert (await bound.post("/settings", json={}, headers=said)).status_code == 200, said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])  # noqa: S104 - it is refused
def test_no_address_that_others_reach_is_bound(host: str) -> None:
    settings = load(bind_key="atl_x", bind_host=host, bind_port=0)

    with pytest.raises(SetupFailed, match="ATELIER_BIND_HOST"):
        bound_listener(settings)


def test_without_a_key_nothing_is_bound() -> None:
    assert bound_listener(load()) is None


async def test_a_key_that_opens_nothing_is_refused_at_the_start(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("atl_no")

    with pytest.raises(SetupFailed, match="opens nothing") as refusal:
        await bound_key(load(bind_key_file=file), database, PEPPER)
    with pytest.raises(SetupFailed, match="cannot be read"):
        await bound_key(load(bind_key_file=tmp_path / "none"), database, PEPPER)
    assert "atl_no" not in refusal.value.message


async def test_a_served_process_binds_the_key_of_a_file(
    terminal: Terminal, database_url: str, tenant: Tenant, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"{tenant.key}\n")
    port = free_port()
    process = await terminal.start(
        *("serve", "--port", "0", "--bind-key", str(tmp_path / "key"), "--bind-port", str(port)),
        ATELIER_DATABASE_URL=database_url,
        ATELIER_KEY_PEPPER=PEPPER.decode(),
    )
    assert process.stdout is not None
    listens = (await process.stdout.readline()).decode()
    url = listens.rpartition(" ")[2].strip()

    async with aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/queue") as free, http.get(f"{url}/queue") as closed:
            statuses = (free.status, closed.status)
        async with http.ws_connect(f"ws://127.0.0.1:{port}/ws?clientId=a") as ws:
            greeting = await ws.receive_json()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await http.ws_connect(f"ws://127.0.0.1:{port}/ws", headers={"Origin": "https://evil.example"})
    ended = await stopped(process)

    assert statuses == (200, 401)
    assert greeting["data"]["sid"] == "a"
    assert refusal.value.status == 403
    assert ended.code == 0, ended.err
    assert tenant.key not in ended.err + ended.out
