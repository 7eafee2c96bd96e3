"""The fleet over HTTP: admins add and remove servers; nobody sees a server's headers again."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.kit.database import Database
from support.serving import make_tenant


@pytest.fixture
async def admin(base: str, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    tenant = await make_tenant(database, "operator", Role.ADMIN)
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


async def test_a_server_is_added_shown_and_removed(admin: httpx.AsyncClient) -> None:
    body = {"url": "http://127.0.0.1:8188/", "id": "gpu-1", "headers": {"Authorization": "Bearer secret"}}

    added = await admin.post("/api/v1/servers", json=body)
    listed = await admin.get("/api/v1/servers")
    removed = await admin.delete("/api/v1/servers/gpu-1")
    again = await admin.delete("/api/v1/servers/gpu-1")

    assert (added.status_code, added.json()) == (201, {"id": "gpu-1"})
    assert [(one["id"], one["url"]) for one in listed.json()["servers"]] == [("gpu-1", "http://127.0.0.1:8188")]
    assert "secret" not in listed.text
    assert (removed.status_code, again.status_code) == (204, 404)


async def test_a_member_may_neither_see_nor_change_the_fleet(client: httpx.AsyncClient) -> None:
    answers = [
        await client.get("/api/v1/servers"),
        await client.post("/api/v1/servers", json={"url": "http://127.0.0.1:1"}),
        await client.delete("/api/v1/servers/x"),
    ]

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(403, "forbidden")] * 3


async def test_what_is_no_server_is_refused(admin: httpx.AsyncClient) -> None:
    bad: tuple[dict[str, Any], ...] = (
        {},
        {"url": 1},
        {"url": "ftp://x"},
        {"url": "http://[::1"},
        {"url": "http://x:99999"},
        {"url": "http://x", "id": "a b"},
        {"url": "http://x", "headers": {"a": 1}},
        {"url": "http://x", "unknown": 1},
    )

    for body in bad:
        answer = await admin.post("/api/v1/servers", json=body)

        assert answer.status_code == 400, body
    assert (await admin.delete("/api/v1/servers/%00")).status_code == 404
    assert (await admin.get("/api/v1/servers")).json() == {"servers": []}
