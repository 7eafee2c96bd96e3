"""Of the internal routes a caller gets what is its own, and nothing of the servers."""

import asyncio
from typing import Any

import httpx

from atelier.accounts.model import Caller, Role
from atelier.dialects.services import Services
from atelier.intake.service import Order
from atelier.kit.ids import JobId, KeyId, new_uuid
from support.fleet import picture
from support.serving import Tenant
from support.showroom import upload
from support.stage import Stage


async def submit(services: Services, tenant: Tenant) -> JobId:
    caller = Caller(tenant.account_id, KeyId(new_uuid()), Role.MEMBER)
    return (await services.intake.submit(caller, Order(picture(), "test"))).id


async def test_the_log_tells_the_callers_own_jobs_in_the_order_of_what_happened(
    services: Services, stage: Stage, client: httpx.AsyncClient, other: httpx.AsyncClient, tenant: Tenant
) -> None:
    done, failed = await submit(services, tenant), await submit(services, tenant)
    await stage.succeed(await stage.start(done))
    await stage.fail(await stage.start(failed))

    raw = (await client.get("/internal/logs/raw")).json()
    text = (await client.get("/internal/logs")).json()
    theirs = (await other.get("/internal/logs")).json()

    lines = [entry["m"].strip() for entry in raw["entries"]]
    assert lines[:3] == [f"got prompt {done}", f"got prompt {failed}", f"prompt {done} started on stage"]
    assert lines[3].startswith(f"prompt {done} executed in ")
    assert lines[4:] == [f"prompt {failed} started on stage", f"prompt {failed} failed: boom"]
    assert [entry["t"] for entry in raw["entries"]] == sorted(entry["t"] for entry in raw["entries"])
    assert text == "".join(f"{entry['t']} - {entry['m']}" for entry in raw["entries"])
    assert raw["size"].keys() == {"cols", "rows"}
    assert theirs == ""


async def test_a_subscription_to_the_log_is_taken(client: httpx.AsyncClient) -> None:
    path = "/internal/logs/subscribe"

    taken = await client.patch(path, json={"clientId": "abc", "enabled": True})
    malformed: list[Any] = [
        await client.patch(path, json=body) for body in ({}, {"clientId": 1, "enabled": "yes"})
    ]

    assert (taken.status_code, taken.content) == (200, b"")
    assert {answer.status_code for answer in malformed} == {400}


async def test_files_are_the_callers_own_newest_first(
    services: Services, client: httpx.AsyncClient, other: httpx.AsyncClient, tenant: Tenant
) -> None:
    for name in ("a.png", "c.png", "b.png"):
        await upload(services, tenant, name)
        await asyncio.sleep(0.002)

    assert (await client.get("/internal/files/input")).json() == ["b.png", "c.png", "a.png"]
    assert (await client.get("/internal/files/output")).json() == []
    assert (await other.get("/internal/files/input")).json() == []


async def test_another_folder_is_refused_in_comfyuis_words(client: httpx.AsyncClient) -> None:
    answer = await client.get("/internal/files/models")

    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid directory type"})


async def test_nothing_else_is_open_and_nothing_has_a_twin(client: httpx.AsyncClient) -> None:
    answers = [await client.get(path) for path in ("/internal/secrets", "/internal", "/api/internal/logs")]

    assert {answer.status_code for answer in answers} == {404}
