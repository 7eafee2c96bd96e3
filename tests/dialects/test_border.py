"""What holds on every route: keys, request ids, envelopes, origins."""

from dataclasses import replace

import httpx
import pytest
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.responses import Response

from atelier.accounts import service as accounts
from atelier.accounts.model import Role, Unauthorized
from atelier.dialects.app import create_app
from atelier.dialects.public import PUBLIC_ROUTES
from atelier.dialects.services import Services
from atelier.fleet import service as fleet
from atelier.fleet.model import Health
from atelier.fleet.store import roster
from atelier.kit.errors import SetupFailed
from atelier.webui import pages
from support.graphs import picture
from support.serving import Tenant, make_tenant, served

OF_THE_EDITOR = "/assets/images/{path:path}"
ORIGIN = "https://studio.example.com"


def routes(services: Services) -> list[RouteContext]:
    return list(iter_route_contexts(create_app(services, pages.ROUTES).routes))


async def test_a_route_is_public_only_if_the_list_names_it(services: Services) -> None:
    paths = {route.path for route in routes(services)}

    assert paths >= PUBLIC_ROUTES - {OF_THE_EDITOR}


async def test_every_route_behind_a_key_answers_401_without_one(
    services: Services, nobody: httpx.AsyncClient
) -> None:
    guarded = [route for route in routes(services) if route.path not in PUBLIC_ROUTES]

    for route in guarded:
        for method in route.methods or ():
            answer = await nobody.request(method, str(route.path))

            assert answer.status_code == 401, route.path
            assert answer.headers["www-authenticate"].startswith("Bearer")
            if method != "HEAD":
                error = answer.json()["error"]
                assert error.get("code", error.get("type")) == "unauthorized"
    assert len(guarded) > 6


async def test_a_wrong_key_is_told_nothing_but_that(nobody: httpx.AsyncClient) -> None:
    for header in ("", "Bearer", "Basic abc", "Bearer atl_wrong", f"Bearer atl_{'x' * 43}", "Bearer ä" * 2):
        answer = await nobody.get("/health/detailed", headers=[(b"Authorization", header.encode())])

        assert answer.status_code == 401, header
        assert answer.json()["error"]["details"] is None


async def test_the_scheme_of_a_key_is_read_in_any_case(nobody: httpx.AsyncClient, tenant: Tenant) -> None:
    answer = await nobody.get("/health/detailed", headers={"Authorization": f"bearer {tenant.key}"})

    assert answer.status_code == 200


async def test_health_needs_no_key_and_its_details_do(
    nobody: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    plain = await nobody.get("/health")
    detailed = await client.get("/health/detailed")

    assert plain.json() == {"status": "healthy"}
    assert detailed.json()["status"] == "degraded"
    assert detailed.json()["reason"] == "No dispatcher is running."
    assert detailed.json()["database"]["answered_in_ms"] > 0


async def test_where_a_server_is_and_what_ails_it_is_told_to_admins_alone(
    services: Services, client: httpx.AsyncClient
) -> None:
    admin = await make_tenant(services.database, "operator", Role.ADMIN)
    async with services.database.transaction() as tx:
        server_id = await fleet.add(tx, "http://10.0.0.5:8188", server_id="gpu", headers={"X-Key": "hush"})
        await roster.save_health(tx, server_id, Health.OFFLINE, "10.0.0.5:8188 refuses")

    member = await client.get("/health/detailed")
    full = await client.get("/health/detailed", headers=admin.headers)

    assert "10.0.0.5" not in member.text
    assert "10.0.0.5:8188 refuses" in full.text
    assert [(one["state"], one["health"]) for one in member.json()["servers"]] == [("offline", "offline")]
    assert "hush" not in full.text + (await client.get("/api/v1/servers", headers=admin.headers)).text


async def test_every_answer_carries_its_request_id_under_both_names(nobody: httpx.AsyncClient) -> None:
    ours = await nobody.get("/nowhere")
    theirs = await nobody.get("/health", headers={"X-Request-Id": "trace-1.a:b"})
    insane = await nobody.get("/health", headers={"X-Request-Id": "a b" * 100})

    assert ours.headers["x-request-id"] == ours.headers["x-comfy-request-id"] != ""
    assert theirs.headers["x-request-id"] == "trace-1.a:b"
    assert insane.headers["x-request-id"] != "a b" * 100


async def test_unknown_paths_get_the_envelope(nobody: httpx.AsyncClient) -> None:
    for path in ("/api/v2/nowhere", "/api/v2", "/api/v2/jobs/a/b/c", "/api/v1/x", "/health/%00", "/files/x/%ff"):
        answer = await nobody.get(path)

        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "not_found"


async def test_a_wrong_method_says_which_ones_are_right(nobody: httpx.AsyncClient) -> None:
    for path, right in (
        ("/health", "GET, HEAD"),
        ("/api/v2/jobs", "GET, HEAD, POST"),
        ("/api/v2/assets/x", "DELETE, GET, HEAD"),
    ):
        answer = await nobody.put(path)

        assert answer.status_code == 405
        assert answer.headers["allow"] == right
        assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_head_answers_like_get_without_a_body(client: httpx.AsyncClient) -> None:
    asset = (await client.post("/api/v2/assets", files={"file": ("a.png", b"x" * 2_000_000)})).json()
    job = (await client.post("/api/v2/jobs", json={"workflow": picture()})).json()
    paths = [
        "/health",
        "/openapi.json",
        "/health/detailed",
        "/api/v2/jobs",
        "/api/v2/jobs/no",
        job["urls"]["self"],
    ]
    paths += [f"/api/v2/assets/{asset['id']}/content", asset["url"]]

    for path in paths:
        whole, head = await client.get(path), await client.head(path, headers={"Range": "bytes=0-1"})

        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert "content-length" in whole.headers, path
        assert "content-length" in head.headers, path
    assert (await client.head(asset["url"])).headers["content-length"] == "2000000"
    events = await client.head(job["urls"]["events"])
    assert (events.status_code, events.content) == (200, b"")
    assert (await client.head("/nowhere")).status_code == 404


async def test_a_database_that_is_away_is_a_503_with_a_time_to_come_back(
    services: Services, client: httpx.AsyncClient
) -> None:
    await client.get("/api/v2/jobs")

    await services.database.close()
    answer = await client.get("/api/v2/jobs")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) >= 1


async def test_an_unexpected_error_is_a_500_without_internals(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(services)

    async def explode() -> Response:
        raise ZeroDivisionError("the secret is 42")

    app.add_api_route("/api/v1/explode", explode)
    async with served(app) as base, httpx.AsyncClient() as browser:
        answer = await browser.get(f"{base}/api/v1/explode", headers={"Origin": ORIGIN})

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "42" not in answer.text
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "ZeroDivisionError" in "".join(capsys.readouterr())


async def test_a_listed_origin_may_send_what_clients_send(nobody: httpx.AsyncClient) -> None:
    for path in ("/api/v2/jobs", "/api/v2/assets/x/content", "/health"):
        for header in ("authorization", "idempotency-key", "range", "content-type", "if-none-match"):
            asked = {
                "Origin": ORIGIN,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": header,
            }
            answer = await nobody.options(path, headers=asked)

            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert header in answer.headers["access-control-allow-headers"].lower()


async def test_a_listed_origin_may_read_what_clients_read(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/api/v2/jobs", headers={"Origin": ORIGIN})

    exposed = answer.headers["access-control-expose-headers"]
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert all(
        name in exposed for name in ("Retry-After", "Content-Range", "Accept-Ranges", "ETag", "X-Request-Id")
    )


async def test_another_origin_is_let_in_nowhere(nobody: httpx.AsyncClient) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    preflight = await nobody.options("/api/v2/jobs", headers=asked)
    simple = await nobody.get("/health", headers=asked)

    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in simple.headers


async def test_origins_are_written_one_by_one(services: Services) -> None:
    for origin in ("*", "https://*.example.com", "studio.example.com", "https://a.example/path"):
        with pytest.raises(SetupFailed):
            create_app(replace(services, cors_origins=(origin,)))


async def test_a_revoked_key_opens_nothing(services: Services, tenant: Tenant) -> None:
    patient = accounts.Authenticator(services.database, b"pepper", remember_for=0)
    async with services.database.transaction() as tx:
        [key] = await accounts.list_keys(tx, tenant.account_id)
        await accounts.revoke_key(tx, key.id)

    with pytest.raises(Unauthorized):
        await patient.authenticate(tenant.key)
