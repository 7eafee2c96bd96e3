"""The queue in figures over HTTP, each account its own part; what ended long ago is deleted by admins."""

import datetime as dt
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.dialects.app import create_app
from atelier.dialects.services import Limits, Services
from atelier.fleet import service as fleet
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, roster
from atelier.jobs import queue as figures
from atelier.jobs.model import JobState
from atelier.jobs.store.stats import Group
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, JobId, new_uuid
from support.graphs import picture
from support.serving import make_tenant, served
from support.stage import Stage

PATH = "/api/v1/queue"


@pytest.fixture
async def admin(base: str, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    tenant = await make_tenant(database, "operator", Role.ADMIN)
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


async def submitted(client: httpx.AsyncClient, graph: dict[str, Any] | None = None) -> str:
    answer = await client.post("/api/v2/jobs", json={"workflow": graph or picture()})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def checkpoint(name: str) -> dict[str, Any]:
    return {"9": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}}}


async def test_what_waits_and_runs_is_counted_by_all_that_matters(
    client: httpx.AsyncClient, other: httpx.AsyncClient, admin: httpx.AsyncClient, stage: Stage
) -> None:
    running = await submitted(client)
    await submitted(client, picture() | checkpoint("sd15.safetensors"))
    await submitted(other)
    await stage.start(JobId(uuid.UUID(running)))

    shown = (await admin.get(PATH)).json()

    totals = shown["totals"]
    assert (totals["waiting"], totals["running"], totals["delayed"]) == (2, 1, 0)
    assert totals["oldest_seconds"] >= 0
    assert {row["account"]: (row["waiting"], row["running"]) for row in shown["accounts"]} == {
        "tenant": (1, 1),
        "stranger": (1, 0),
    }
    assert {tuple(row["lane"]): row["waiting"] + row["running"] for row in shown["lanes"]} == {
        (): 2,
        ("sd15.safetensors",): 1,
    }
    assert [(row["priority"], row["waiting"]) for row in shown["classes"]] == [(5, 2)]
    assert {row["needs"] for row in shown["requirements"]} == {
        "EmptyImage, SaveImage",
        "sd15.safetensors; CheckpointLoaderSimple, EmptyImage, SaveImage",
    }


async def test_a_member_sees_its_accounts_part_alone(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await submitted(client)

    mine, theirs = (await client.get(PATH)).json(), (await other.get(PATH)).json()

    assert (mine["totals"]["waiting"], theirs["totals"]["waiting"]) == (1, 0)
    assert [row["account"] for row in mine["accounts"]] == ["tenant"]
    assert (theirs["accounts"], theirs["requirements"], theirs["totals"]["oldest_seconds"]) == ([], [], None)


async def test_a_requirement_set_says_how_many_servers_could_run_it(
    client: httpx.AsyncClient, services: Services
) -> None:
    classes: dict[str, Any] = {name: {"input": {}} for name in ("EmptyImage", "SaveImage")}
    async with services.database.transaction() as tx:
        for name, health in (("up", Health.READY), ("down", Health.OFFLINE)):
            server_id = await fleet.add(tx, f"http://{name}:1", server_id=name)
            await catalogs.save_inventory(tx, server_id, from_object_info(classes), {})
            await roster.save_health(tx, server_id, health, "")
        await fleet.add(tx, "http://unknown:1")
    await submitted(client)
    await services.intake.fleet.refresh()

    [row] = (await client.get(PATH)).json()["requirements"]

    assert (row["able"], row["ready"]) == (2, 1)


async def test_long_tables_are_cut_and_say_so(client: httpx.AsyncClient) -> None:
    for name in ("a.safetensors", "b.safetensors", "c.safetensors"):
        await submitted(client, checkpoint(name) | picture_of(name))

    shown = (await client.get(PATH, params={"limit": 1})).json()

    assert (len(shown["lanes"]), shown["left_out"]["lanes"], shown["left_out"]["accounts"]) == (1, 2, 0)
    assert (await client.get(PATH, params={"limit": "0"})).status_code == 400


def picture_of(name: str) -> dict[str, Any]:
    return {
        "2": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": name.partition(".")[0]},
        },
    }


async def test_the_limits_that_are_in_force_and_how_true_expectations_are_is_told(
    services: Services, client: httpx.AsyncClient
) -> None:
    limited = replace(services, limits=Limits(max_queued=50, max_running=3))

    async with served(create_app(limited)) as base:
        shown = (await client.get(f"{base}{PATH}")).json()

    limits = shown["limits"]
    assert (limits["max_queued"], limits["max_running"], limits["server_jobs_per_minute"]) == (50, 3, 0)
    assert shown["eta_errors"]["samples"] == 0


async def test_admins_clean_up_what_ended_long_ago(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, stage: Stage
) -> None:
    old, young = await submitted(client), await submitted(client)
    for job in (old, young):
        await client.post(f"/api/v1/jobs/{job}/cancel")
    async with stage.database.transaction() as tx:
        await tx.execute("UPDATE jobs SET finished_at = now() - interval '8 days' WHERE id = %s", (old,))

    forbidden = await client.post(f"{PATH}/clean", json={"older_than": 0})
    none = await admin.post(f"{PATH}/clean", json={"older_than": "7d", "states": ["failed"]})
    one = await admin.post(f"{PATH}/clean", json={"older_than": "7d"})

    assert forbidden.status_code == 403
    assert (none.json(), one.json()) == ({"deleted": 0, "cursor": None}, {"deleted": 1, "cursor": None})
    assert (await client.get(f"/api/v1/jobs/{old}")).status_code == 404
    assert (await client.get(f"/api/v1/jobs/{young}")).status_code == 200


async def test_a_clean_up_that_is_not_meant_so_is_refused(admin: httpx.AsyncClient) -> None:
    bad: tuple[dict[str, Any], ...] = (
        {},
        {"older_than": -1},
        {"older_than": "soon"},
        {"older_than": True},
        {"older_than": "7d", "states": []},
        {"older_than": "7d", "states": ["running"]},
        {"older_than": "7d", "cursor": "x"},
        {"older_than": "7d", "cursor": "9999-12-31T23:59:59-23:00_x"},
    )

    statuses = [(await admin.post(f"{PATH}/clean", json=body)).status_code for body in bad]

    assert statuses == [400] * len(bad)


async def test_a_clean_up_goes_on_where_the_last_one_stopped(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, stage: Stage
) -> None:
    jobs = [await submitted(client) for _ in range(2)]
    for job in jobs:
        await client.post(f"/api/v1/jobs/{job}/cancel")
    async with stage.database.transaction() as tx:
        rows = await tx.execute("SELECT keep_until, id FROM jobs ORDER BY keep_until LIMIT 1")
        [(until, first)] = await rows.fetchall()

    done = await admin.post(f"{PATH}/clean", json={"older_than": 0, "cursor": f"{until.isoformat()}_{first}"})

    assert done.json() == {"deleted": 1, "cursor": None}


def test_tallies_add_up_and_know_the_oldest_that_waits() -> None:
    now = clock.utcnow()
    account = AccountId(new_uuid())

    def group(state: JobState, jobs: int, minutes: int, lane: str = "", delayed: int = 0) -> Group:
        return Group(1, lane, account, 5, state, jobs, now - dt.timedelta(minutes=minutes), delayed)

    groups = [
        group(JobState.QUEUED, 3, 2, delayed=1),
        group(JobState.QUEUED, 1, 5, "sd15"),
        group(JobState.RUNNING, 2, 90),
        group(JobState.CLAIMED, 1, 1),
    ]

    tally = figures.tally(groups)

    assert (tally.waiting, tally.delayed, tally.running, tally.placed, tally.unfinished) == (4, 1, 2, 1, 7)
    assert tally.oldest_age(now) == 300
    assert [lane for lane, _ in figures.tallies(groups, lambda one: one.lane)] == ["", "sd15"]
