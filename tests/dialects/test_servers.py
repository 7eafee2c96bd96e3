"""The fleet over HTTP: admins add and remove servers; nobody sees a server's headers again."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.dialects.services import Services
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, roster
from atelier.kit.database import Database
from atelier.kit.ids import JobId, ServerId
from support.graphs import picture
from support.serving import make_tenant
from support.stage import Stage
from support.yard import Yard, make_yard


@pytest.fixture
async def yard(database: Database) -> Yard:
    return await make_yard(database)


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
    asked = (
        ("GET", ""),
        ("POST", ""),
        ("GET", "/x"),
        ("PATCH", "/x"),
        ("POST", "/x/drain"),
        ("POST", "/x/resume"),
        ("POST", "/x/probe"),
        ("DELETE", "/x"),
    )

    answers = [await client.request(method, f"/api/v1/servers{path}") for method, path in asked]

    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(403, "forbidden")}


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
        {"url": "http://x", "share": 0},
        {"url": "http://x", "share": 1.5},
        {"url": "http://x", "max_per_minute": -1},
        {"url": "http://x", "run_timeout": "long"},
    )

    for body in bad:
        answer = await admin.post("/api/v1/servers", json=body)

        assert answer.status_code == 400, body
    assert (await admin.delete("/api/v1/servers/%00")).status_code == 404
    assert (await admin.get("/api/v1/servers")).json() == {"servers": []}


async def test_a_server_is_added_as_it_shall_be(admin: httpx.AsyncClient) -> None:
    body = {"url": "http://gpu:8188", "id": "gpu", "share": 0.1, "max_per_minute": 30, "run_timeout": 60}

    await admin.post("/api/v1/servers", json=body | {"enabled": False})

    [shown] = (await admin.get("/api/v1/servers")).json()["servers"]
    assert (shown["share"], shown["max_per_minute"], shown["run_timeout"]) == (0.1, 30, 60.0)
    assert (shown["enabled"], shown["driven_by"]) == (False, None)


async def test_what_is_changed_changes_and_the_rest_stays(admin: httpx.AsyncClient) -> None:
    await admin.post("/api/v1/servers", json={"url": "http://gpu:8188", "id": "gpu", "max_per_minute": 30})

    changed = await admin.patch("/api/v1/servers/gpu", json={"url": "http://new:1/", "share": 0.5})
    freed = await admin.patch("/api/v1/servers/gpu", json={"max_per_minute": None, "headers": {"X-Key": "hush"}})

    assert (changed.json()["url"], changed.json()["share"]) == ("http://new:1", 0.5)
    assert (changed.json()["max_per_minute"], freed.json()["max_per_minute"]) == (30, None)
    assert [event["kind"] for event in freed.json()["events"]] == ["change", "change", "add"]
    assert "hush" not in freed.text


async def test_a_change_that_is_none_or_cannot_be_is_refused(admin: httpx.AsyncClient) -> None:
    for name in ("one", "two"):
        await admin.post("/api/v1/servers", json={"url": f"http://{name}:1", "id": name})

    statuses = [
        (await admin.patch("/api/v1/servers/one", json=body)).status_code
        for body in ({}, {"id": "x"}, {"url": None}, {"url": ""}, {"headers": {"a b": ""}}, {"share": 0})
    ]
    taken = await admin.patch("/api/v1/servers/one", json={"url": "http://two:1"})
    unknown = await admin.patch("/api/v1/servers/three", json={"drain": True})

    assert statuses == [400] * 6
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "server_exists")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "server_not_found")


async def test_a_drained_server_is_draining_until_it_is_resumed(admin: httpx.AsyncClient, stage: Stage) -> None:
    await admin.post("/api/v1/servers", json={"url": "http://gpu:8188", "id": "gpu"})
    async with stage.database.transaction() as tx:
        await roster.save_health(tx, ServerId("gpu"), Health.READY, "")

    drained = await admin.post("/api/v1/servers/gpu/drain")
    resumed = await admin.post("/api/v1/servers/gpu/resume")

    assert (drained.json()["state"], drained.json()["health"]) == ("draining", "ready")
    assert resumed.json()["state"] == "ready"
    assert {"drain", "resume"} <= {event["kind"] for event in resumed.json()["events"]}


async def test_what_is_so_already_is_no_event(admin: httpx.AsyncClient) -> None:
    await admin.post("/api/v1/servers", json={"url": "http://gpu:8188", "id": "gpu"})

    await admin.post("/api/v1/servers/gpu/drain")
    again = await admin.post("/api/v1/servers/gpu/drain")

    assert [event["kind"] for event in again.json()["events"]] == ["drain", "add"]


async def test_a_server_that_was_removed_comes_back_as_new(admin: httpx.AsyncClient) -> None:
    body = {"url": "http://gpu:8188", "id": "gpu"}
    await admin.post("/api/v1/servers", json=body | {"share": 0.5, "enabled": False})
    await admin.post("/api/v1/servers/gpu/drain")
    await admin.delete("/api/v1/servers/gpu")

    await admin.post("/api/v1/servers", json=body)

    shown = (await admin.get("/api/v1/servers/gpu")).json()
    assert (shown["enabled"], shown["drain"], shown["share"]) == (True, False, 1.0)


async def test_what_runs_on_a_server_and_who_drives_it_is_shown(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, stage: Stage
) -> None:
    job = (await client.post("/api/v2/jobs", json={"workflow": picture()})).json()
    await stage.start(JobId(uuid.UUID(job["id"])))
    async with stage.database.transaction() as tx:
        await roster.save_health(tx, ServerId("stage"), Health.READY, "")

    [shown] = (await admin.get("/api/v1/servers")).json()["servers"]

    [run] = shown["running"]
    assert (run["job_id"], run["account"], run["state"]) == (job["id"], "tenant", "running")
    assert (shown["state"], shown["driven_by"]) == ("busy", "test")


async def test_what_a_server_told_of_itself_is_shown(
    admin: httpx.AsyncClient, stage: Stage, services: Services
) -> None:
    await admin.post("/api/v1/servers", json={"url": "http://gpu:8188", "id": "gpu"})
    device = {
        "name": "cuda:0 NVIDIA : cudaMallocAsync",
        "type": "cuda",
        "vram_total": 24 << 30,
        "vram_free": 20 << 30,
    }
    system = {"system": {"comfyui_version": "0.3.64"}, "devices": [device]}
    inventory = from_object_info({"Impact": {"python_module": "custom_nodes.impact-pack"}})
    async with stage.database.transaction() as tx:
        await catalogs.save_inventory(tx, ServerId("gpu"), inventory, system)
    await services.intake.fleet.refresh()

    shown = (await admin.get("/api/v1/servers/gpu")).json()

    [device] = shown["devices"]
    assert (device["name"], device["vram_total"], device["vram_free"]) == ("NVIDIA", 24 << 30, 20 << 30)
    assert (shown["comfyui_version"], shown["node_packs"]) == ("0.3.64", ["impact-pack"])


async def test_a_probe_is_asked_for_and_the_answer_says_what_will_happen(
    admin: httpx.AsyncClient, stage: Stage, yard: Yard
) -> None:
    await admin.post("/api/v1/servers", json={"url": "http://gpu:8188", "id": "gpu"})

    with stage.wakeups.subscribe("fleet") as woken:
        alone = await admin.post("/api/v1/servers/gpu/probe")
        assert await woken.wait(5)
    await yard.dispatcher()
    driven = await admin.post("/api/v1/servers/gpu/probe")

    assert (alone.status_code, driven.status_code) == (202, 202)
    assert "as soon as one takes it" in alone.json()["what"]
    assert driven.json()["what"].startswith("test asks it now")
    assert (await admin.get("/api/v1/servers/gpu")).json()["probe_asked_at"]
