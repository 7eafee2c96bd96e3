"""Browsers sign in with a key; a session is as good as its key, and no page of others can use it."""

import dataclasses
import datetime as dt
import re
from collections.abc import AsyncGenerator

import aiohttp
import httpx
import pytest

from atelier.accounts import service as accounts
from atelier.accounts import sessions
from atelier.accounts.model import Unauthorized
from atelier.accounts.service import Authenticator
from atelier.dialects.app import create_app
from atelier.dialects.credentials import COOKIE
from atelier.dialects.services import Services
from atelier.kit.http.patience import Patience
from atelier.webui import pages
from atelier.webui.sign_in import local
from support.serving import PEPPER, Tenant, served
from support.sockets import api_process

LIFETIME = dt.timedelta(hours=1)
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"


@pytest.fixture
async def browser(base: str, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    """Signed in as the tenant; it says what browsers say of a page of ours."""
    async with httpx.AsyncClient(base_url=base, headers={"Origin": base}) as made:
        answer = await made.post("/login", data={"key": tenant.key})
        assert answer.status_code == 303
        yield made


async def revoke(services: Services, tenant: Tenant) -> None:
    async with services.database.transaction() as tx:
        for key in await accounts.list_keys(tx, tenant.account_id):
            await accounts.revoke_key(tx, key.id)


async def test_the_page_is_whole_without_scripts_and_lets_nobody_frame_it(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/login")
    style = await nobody.get("/login/sign-in.css")

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text
    assert not re.search(r"\son\w+=|style=|<style", answer.text)
    assert 'name="viewport"' in answer.text
    assert 'method="post" action="/login"' in answer.text
    assert "$" not in answer.text
    assert style.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in style.text


async def test_a_form_with_a_key_signs_in_and_goes_on(nobody: httpx.AsyncClient, tenant: Tenant) -> None:
    answer = await nobody.post("/login", data={"key": f" {tenant.key}\n", "next": "/comfy/?a=1"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/comfy/?a=1"
    assert (await nobody.get("/queue")).status_code == 200


async def test_json_with_a_key_signs_in(nobody: httpx.AsyncClient, tenant: Tenant) -> None:
    answer = await nobody.post("/login", json={"key": tenant.key})

    assert answer.status_code == 200
    assert answer.json()["expires_at"].endswith("Z")
    assert (await nobody.get("/api/v1/queue")).status_code == 200


async def test_the_cookie_is_for_this_browser_alone(nobody: httpx.AsyncClient, tenant: Tenant) -> None:
    answer = await nobody.post("/login", data={"key": tenant.key})

    said = answer.headers["set-cookie"]
    flags = {part.strip().lower() for part in said.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", "max-age=2592000"} <= flags
    assert "secure" not in flags
    assert tenant.key not in said
    assert len(said.split(";")[0].removeprefix(f"{COOKIE}=")) == sessions.TOKEN_LENGTH


async def test_behind_https_the_cookie_is_secure(services: Services, tenant: Tenant) -> None:
    public = dataclasses.replace(services, public_url="https://atelier.example.com")
    async with served(create_app(public, pages.ROUTES)) as base, httpx.AsyncClient(base_url=base) as http:
        page = {"Origin": "https://atelier.example.com"}
        answer = await http.post("/login", data={"key": tenant.key}, headers=page)
        forwarded = {"X-Forwarded-Proto": "http", **page}
        again = await http.post("/login", data={"key": tenant.key}, headers=forwarded)

    assert "; Secure" in answer.headers["set-cookie"]
    assert "; Secure" in again.headers["set-cookie"]


async def test_a_token_is_stored_as_a_digest(services: Services, browser: httpx.AsyncClient) -> None:
    token = browser.cookies[COOKIE]

    async with services.database.autocommit() as tx:
        rows = await (await tx.execute("SELECT digest FROM sessions")).fetchall()

    assert rows == [(sessions.digest(PEPPER, token),)]


async def test_a_wrong_key_says_so_on_the_page_and_is_not_repeated(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.post("/login", data={"key": "atl_<script>", "next": '/x"><b>'})
    as_json = await nobody.post("/login", json={"key": "atl_no"})

    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert "opens nothing" in answer.text
    assert "<script>" not in answer.text
    assert "<b>" not in answer.text
    assert "set-cookie" not in answer.headers
    assert as_json.status_code == 401
    assert as_json.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("body", [b"", b"{", b'{"key": 1}', b'{"next": "/"}', b"a" * 20_000, b"\xff\xfe", b"[1]"])
async def test_nonsense_is_refused(nobody: httpx.AsyncClient, body: bytes) -> None:
    answer = await nobody.post("/login", content=body)

    assert answer.status_code in {400, 401, 413}
    assert "set-cookie" not in answer.headers


async def test_who_fails_too_often_waits_and_then_comes_in(services: Services, tenant: Tenant) -> None:
    strict = dataclasses.replace(services, sign_ins=Patience(burst=2, seconds=3600))
    async with served(create_app(strict, pages.ROUTES)) as base, httpx.AsyncClient(base_url=base) as http:
        statuses = [(await http.post("/login", data={"key": "atl_no"})).status_code for _ in range(3)]
        form = await http.post("/login", data={"key": tenant.key})
        program = await http.post("/login", json={"key": tenant.key})

    assert statuses == [401, 401, 429]
    assert (form.status_code, program.status_code) == (429, 429)
    assert int(program.headers["retry-after"]) >= 1


async def test_good_sign_ins_are_not_counted(services: Services, tenant: Tenant) -> None:
    strict = dataclasses.replace(services, sign_ins=Patience(burst=2, seconds=3600))
    async with served(create_app(strict, pages.ROUTES)) as base, httpx.AsyncClient(base_url=base) as http:
        statuses = {(await http.post("/login", data={"key": tenant.key})).status_code for _ in range(5)}

    assert statuses == {303}


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "/\t/evil",
        "javascript:x",
        "x",
        "/\n",
    ],
)
def test_sign_in_goes_on_to_paths_of_ours_alone(where: str) -> None:
    assert local(where) == "/"


def test_sign_in_goes_on_to_a_path_of_ours() -> None:
    assert local("/comfy/?a=b#c") == "/comfy/?a=b#c"


async def test_a_session_opens_every_dialect(browser: httpx.AsyncClient) -> None:
    for path in ("/api/v2/jobs", "/api/v1/queue", "/queue", "/api/queue", "/comfy/api/queue", "/comfy/"):
        assert (await browser.get(path)).status_code in {200, 404}, path
        assert (await browser.get(path)).status_code != 401, path
    assert (await browser.post("/settings", json={"a": 1})).status_code == 200


async def test_what_changes_something_needs_a_page_of_ours(base: str, browser: httpx.AsyncClient) -> None:
    port = int(base.rpartition(":")[2])
    cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    pages_of_others = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
        {"Origin": f"https://127.0.0.1:{port}.evil.example"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": base},
        {"Sec-Fetch-Site": "none"},
        {},
    ]
    async with httpx.AsyncClient(base_url=base, headers=cookie) as http:
        for said in pages_of_others:
            for path in ("/settings", "/queue", "/api/queue", "/api/v2/jobs"):
                assert (await http.post(path, json={}, headers=said)).status_code == 403, (said, path)
            assert (await http.delete("/api/userdata/a", headers=said)).status_code == 403
        for said in ({"Origin": base}, {"Sec-Fetch-Site": "same-origin"}):
            assert (await http.post("/settings", json={}, headers=said)).status_code == 200
        assert (await http.get("/settings")).status_code == 200


async def test_a_key_in_a_header_goes_before_the_session(
    browser: httpx.AsyncClient, stranger: Tenant, base: str
) -> None:
    await browser.post("/settings", json={"whose": "tenant"})

    theirs = await browser.post("/settings", json={"whose": "stranger"}, headers=stranger.headers)
    wrong = await browser.get("/settings", headers={"Authorization": f"Bearer atl_{'x' * 43}"})
    foreign = await browser.get("/settings", headers={"Authorization": "Basic cHJveHk6cHJveHk="})

    assert theirs.status_code == 200
    assert (await browser.get("/settings")).json() == {"whose": "tenant"}
    assert wrong.status_code == 401
    assert foreign.json() == {"whose": "tenant"}


async def test_a_socket_opens_for_a_page_of_ours_alone(services: Services, tenant: Tenant) -> None:
    opened = await services.authenticator.sign_in(tenant.key, LIFETIME)
    found: dict[str, int] = {}
    async with api_process(services) as url, aiohttp.ClientSession() as http:
        for origin in (url, "https://evil.example", "null", ""):
            headers = {"Cookie": f"{COOKIE}={opened.token}", **({"Origin": origin} if origin else {})}
            try:
                async with http.ws_connect(f"{url}/ws", headers=headers):
                    found[origin] = 101
            except aiohttp.WSServerHandshakeError as refusal:
                found[origin] = refusal.status

    assert found == {url: 101, "https://evil.example": 403, "null": 403, "": 403}


async def test_signing_out_ends_the_session_at_once(browser: httpx.AsyncClient) -> None:
    token = browser.cookies[COOKIE]
    await browser.get("/queue")

    answer = await browser.post("/logout")

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert COOKIE not in browser.cookies
    assert (await browser.get("/queue", headers={"Cookie": f"{COOKIE}={token}"})).status_code == 401
    assert (await browser.post("/logout")).status_code == 303


async def test_a_browser_has_one_session_and_a_key_so_many(
    services: Services, browser: httpx.AsyncClient, tenant: Tenant
) -> None:
    before = browser.cookies[COOKIE]
    await browser.post("/login", data={"key": tenant.key})
    others = [await services.authenticator.sign_in(tenant.key, LIFETIME) for _ in range(sessions.MOST_OF_A_KEY)]

    assert (await browser.get("/queue", headers={"Cookie": f"{COOKIE}={before}"})).status_code == 401
    assert (await browser.get("/queue")).status_code == 401
    assert (await services.authenticator.session(others[0].token)).account_id == tenant.account_id


async def test_no_page_of_others_signs_anybody_in_or_out(
    base: str, nobody: httpx.AsyncClient, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    evil = {"Origin": "https://evil.example"}

    signed_in = await nobody.post("/login", data={"key": tenant.key}, headers=evil)
    signed_out = await browser.post("/logout", headers=evil)

    assert (signed_in.status_code, signed_out.status_code) == (403, 403)
    assert "set-cookie" not in signed_in.headers
    assert (await browser.get("/queue")).status_code == 200


async def test_a_session_dies_with_its_key(services: Services, browser: httpx.AsyncClient, tenant: Tenant) -> None:
    forgetful = dataclasses.replace(
        services, authenticator=Authenticator(services.database, PEPPER, remember_for=0)
    )
    cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    async with served(create_app(forgetful)) as base, httpx.AsyncClient(base_url=base, headers=cookie) as http:
        before = (await http.get("/queue")).status_code
        await revoke(services, tenant)
        after = (await http.get("/queue")).status_code

    assert (before, after) == (200, 401)


async def test_an_expired_session_opens_nothing_and_is_forgotten(services: Services, tenant: Tenant) -> None:
    authenticator = Authenticator(services.database, PEPPER, remember_for=0)
    opened = await authenticator.sign_in(tenant.key, LIFETIME)
    async with services.database.transaction() as tx:
        await tx.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")

    with pytest.raises(Unauthorized):
        await authenticator.session(opened.token)
    async with services.database.transaction() as tx:
        assert await sessions.forget_expired(tx) == 1


async def test_who_is_signed_in_is_shown_the_way_out(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/login?next=/comfy/")

    assert 'action="/logout"' in answer.text
    assert 'href="/comfy/"' in answer.text


async def test_the_front_says_what_this_is_or_opens_the_editor(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/")

    if answer.status_code == 302:
        assert answer.headers["location"] == "comfy/"
    else:
        assert answer.status_code == 200
        assert "/login" in answer.text
