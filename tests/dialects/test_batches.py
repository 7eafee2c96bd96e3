"""Many runs in one request: what is good of it runs, what is wrong is told by itself, and the whole is shown."""

import asyncio
import dataclasses
import uuid
from typing import Any

import httpx
import pytest

from atelier.assets import service as assets
from atelier.assets.model import Draft
from atelier.dialects.batches_wire import AllBatches, BatchListed, BatchShown
from atelier.dialects.services import Services
from atelier.jobs import batches
from atelier.jobs.cached import Twins
from atelier.jobs.service import QueueBounds
from atelier.jobs.store import batches as store
from atelier.kit.ids import JobId
from support.pictures import png
from support.serving import Tenant
from support.stage import Stage
from support.studio import data_uri, open_studio

URL = "/api/v1/generate/batch"
PICTURE, MASK = png((8, 6)), png((8, 6), (255, 255, 255))


@pytest.fixture
def services(services: Services) -> Services:
    intake = dataclasses.replace(services.intake, bounds=QueueBounds(5000, 2000))
    return dataclasses.replace(services, intake=intake, json_limit=2_000_000)


@pytest.fixture
async def client(client: httpx.AsyncClient, services: Services) -> httpx.AsyncClient:
    await open_studio(services.database, services.registry)
    client.timeout = httpx.Timeout(120)
    return client


async def rows(services: Services, query: str, *values: object) -> list[tuple[Any, ...]]:
    async with services.database.autocommit() as tx:
        return await (await tx.execute(query.encode(), values)).fetchall()


async def made(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(URL, json={"workflow_id": "boats", "prompt": "a boat"} | body)
    assert answer.status_code == 202, answer.text
    BatchShown.model_validate_json(answer.content)
    assert answer.headers["location"] == answer.json()["urls"]["self"]
    return dict(answer.json())


async def refused(client: httpx.AsyncClient, status: int = 400, **body: Any) -> dict[str, Any]:
    answer = await client.post(URL, json={"workflow_id": "boats", "prompt": "a boat"} | body)
    assert answer.status_code == status, answer.text
    return dict(answer.json()["error"])


async def shown(client: httpx.AsyncClient, batch: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = await client.get(batch["urls"]["self"], params=query)
    assert answer.status_code == 200, answer.text
    BatchShown.model_validate_json(answer.content)
    return dict(answer.json())


def job_ids(batch: dict[str, Any]) -> list[JobId]:
    return [JobId(uuid.UUID(item["job_id"])) for item in batch["items"] if item["job_id"]]


async def succeed(stage: Stage, job_id: JobId, body: bytes = b"picture") -> None:
    await stage.succeed(await stage.start(job_id), [body])


async def test_every_item_says_its_own_before_what_holds_for_all(client: httpx.AsyncClient) -> None:
    batch = await made(
        client,
        seed=5,
        params={"steps": 10},
        items=[{}, {"prompt": "a ship"}, {"params": {"steps": 30, "seed": 6}}, {"params": {"prompt": "a raft"}}],
    )

    used = [(one["params"]["prompt"], one["params"]["steps"], one["seed"]) for one in batch["items"]]
    assert used == [("a boat", 10, 5), ("a ship", 10, 5), ("a boat", 30, 6), ("a raft", 10, 5)]
    assert [one["index"] for one in batch["items"]] == [0, 1, 2, 3]
    assert (batch["status"], batch["total"], batch["counts"]["queued"], batch["progress"]) == ("queued", 4, 4, 0)


async def test_a_grid_is_every_combination_the_last_name_changing_fastest(client: httpx.AsyncClient) -> None:
    batch = await made(client, grid={"steps": [10, 20], "prompt": ["x", "y"], "seed": [1]})

    used = [(one["params"]["steps"], one["params"]["prompt"], one["seed"]) for one in batch["items"]]
    assert used == [(10, "x", 1), (10, "y", 1), (20, "x", 1), (20, "y", 1)]


async def test_each_picture_is_a_run_of_its_own(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    received = await assets.receive_bytes(services.database, services.storage, PICTURE)
    async with services.database.transaction() as tx:
        stored = (await assets.record(tx, received, Draft(tenant.account_id))).asset.id

    batch = await made(
        client,
        workflow_id="retouch",
        prompt=None,
        mask=data_uri(MASK),
        input_images=[str(stored), data_uri(PICTURE)],
    )

    assert [one["status"] for one in batch["items"]] == ["queued", "queued"]
    assert batch["items"][0]["params"]["input_image"] == str(stored)


async def test_what_several_items_bring_is_received_once(client: httpx.AsyncClient, services: Services) -> None:
    await made(
        client,
        workflow_id="retouch",
        prompt=None,
        input_image=data_uri(PICTURE),
        mask=data_uri(MASK),
        items=[{}] * 40,
    )

    assert await rows(services, "SELECT count(*) FROM assets") == [(2,)]


async def test_only_the_bad_item_fails_and_says_why(client: httpx.AsyncClient, services: Services) -> None:
    batch = await made(
        client, items=[{}, {"params": {"steps": 900}}, 7, {"params": {"stps": 1}}, {"shape": 1}, {}]
    )

    states = [one["status"] for one in batch["items"]]
    assert states == ["queued", "refused", "refused", "refused", "refused", "queued"]
    [fault] = batch["items"][1]["error"]["details"]["errors"]
    assert (fault["parameter"], fault["min"], fault["max"]) == ("steps", 1, 50)
    assert batch["items"][3]["error"]["code"] == "invalid_parameter"
    assert (batch["counts"]["refused"], batch["counts"]["queued"], batch["total"]) == (4, 2, 6)
    assert await rows(services, "SELECT count(*) FROM jobs") == [(2,)]


async def test_a_batch_of_bad_items_is_refused_and_nothing_is_written(
    client: httpx.AsyncClient, services: Services
) -> None:
    error = await refused(client, items=[{"params": {"steps": 0}}, {"params": {"steps": "x"}}])

    assert error["code"] == "batch_refused"
    assert [one["index"] for one in error["details"]["refused"]] == [0, 1]
    for table in ("batches", "jobs", "graphs", "holds"):
        assert await rows(services, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - fixed names


async def test_a_batch_that_begins_hopelessly_is_not_looked_at_to_its_end(client: httpx.AsyncClient) -> None:
    error = await refused(client, items=[{"params": {"steps": 0}}] * 500)

    assert 50 <= len(error["details"]["refused"]) < 60
    assert error["message"].startswith("The first 5")


TOO_MANY: dict[str, dict[str, Any]] = {
    "items": {"items": [{}] * 1001},
    "a grid": {"grid": {"steps": list(range(1, 51)), "seed": list(range(21))}},
}


@pytest.mark.parametrize("many", TOO_MANY.values(), ids=TOO_MANY)
async def test_more_than_may_come_at_once_is_refused_by_its_number(
    client: httpx.AsyncClient, many: dict[str, Any]
) -> None:
    error = await refused(client, **many)

    assert error["code"] == "batch_too_large"
    assert error["details"]["limit"] == 1000


async def test_a_grid_of_billions_is_counted_and_never_expanded(client: httpx.AsyncClient) -> None:
    axes = {f"axis_{number}": list(range(1000)) for number in range(12)}

    error = await refused(client, grid=axes)

    assert error["details"] == {"items": 1000**12, "limit": 1000}


NO_BATCHES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no items": {"items": []},
    "no list": {"items": {}},
    "no axes": {"grid": {}},
    "no values": {"grid": {"steps": 5}},
    "an empty axis": {"grid": {"steps": []}},
    "two kinds": {"items": [{}], "grid": {"steps": [5]}},
    "one picture": {"input_images": "x"},
}


@pytest.mark.parametrize("body", NO_BATCHES.values(), ids=NO_BATCHES)
async def test_what_is_no_batch_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await refused(client, **body))["code"] == "invalid_batch"


async def test_an_unknown_workflow_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await refused(client, 404, workflow_id="ships", items=[{}]))["code"] == "workflow_not_found"


async def test_a_queue_without_room_for_all_takes_none(services: Services, client: httpx.AsyncClient) -> None:
    batch = await made(client, items=[{}] * 1000)
    more = await made(client, items=[{}] * 900)

    error = await refused(client, 429, items=[{}] * 101)

    assert error["code"] == "queue_full"
    assert (batch["counts"]["queued"], more["counts"]["queued"]) == (1000, 900)
    assert await rows(services, "SELECT count(*) FROM jobs") == [(1900,)]


async def test_progress_of_the_whole_and_of_each_item(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    batch = await made(client, items=[{}, {}, {}, {"params": {"steps": 0}}])
    first, second, _ = job_ids(batch)

    await succeed(stage, first)
    await stage.progress(await stage.start(second), 0.5)
    running = await shown(client, batch)

    assert (running["status"], running["progress"], running["finished_at"]) == ("running", 0.625, None)
    assert [one["status"] for one in running["items"]] == ["succeeded", "running", "queued", "refused"]
    [output] = running["items"][0]["outputs"]
    assert (await client.get(output["url"])).content == b"picture"


async def test_the_end_of_a_batch_says_how_it_went(client: httpx.AsyncClient, stage: Stage) -> None:
    whole = await made(client, items=[{}])
    part = await made(client, items=[{}, {}])
    none = await made(client, items=[{}])
    for job_id in [*job_ids(whole), job_ids(part)[0]]:
        await succeed(stage, job_id)
    for job_id in [job_ids(part)[1], *job_ids(none)]:
        await stage.fail(await stage.start(job_id))

    ends = [await shown(client, batch) for batch in (whole, part, none)]

    assert [end["status"] for end in ends] == ["succeeded", "partial", "failed"]
    assert all(end["progress"] == 1 and end["finished_at"] for end in ends)
    assert ends[1]["items"][1]["error"]["code"] == "node_execution_error"


async def test_items_come_in_pages_in_their_order_whatever_became_of_them(client: httpx.AsyncClient) -> None:
    batch = await made(client, items=[{"params": {"steps": 0}} if n % 3 == 2 else {} for n in range(25)])

    found, cursor = list[int](), "0"
    while cursor:
        page = await shown(client, batch, limit=7, cursor=cursor)
        found += [one["index"] for one in page["items"]]
        cursor = page["next_cursor"]

    assert found == list(range(25))


async def test_a_canceled_batch_ends_what_waits_and_stops_what_runs(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    batch = await made(client, seed=1, items=[{}, {"prompt": "x"}, {}, {"prompt": "y"}])
    ids = job_ids(batch)
    await succeed(stage, ids[3])
    claim = await stage.start(ids[0])

    answer = await client.post(batch["urls"]["cancel"])

    BatchListed.model_validate_json(answer.content)
    assert [one["status"] for one in (await shown(client, batch))["items"]] == [
        "canceling",
        "canceled",
        "canceled",
        "succeeded",
    ]
    await stage.let_go(claim)
    await client.post(batch["urls"]["cancel"])
    end = await shown(client, batch)
    assert (end["status"], end["counts"]["canceled"]) == ("partial", 3)
    assert await rows(services, "SELECT count(*) FROM job_events WHERE terminal") == [(4,)]
    assert await rows(services, "SELECT state, count(*) FROM holds GROUP BY state ORDER BY 1") == [
        ("captured", 1),
        ("released", 3),
    ]


async def test_items_that_make_the_same_are_one_run_and_the_next_batch_has_it_at_once(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    batch = await made(client, seed=1, items=[{}, {}, {}])
    await succeed(stage, job_ids(batch)[0])
    await Twins(services.database, services.storage, services.wakeups).settle()

    end, again = await shown(client, batch), await made(client, seed=1, items=[{}, {}])

    assert [(one["status"], one["cached"]) for one in end["items"]] == [
        ("succeeded", False),
        ("succeeded", True),
        ("succeeded", True),
    ]
    assert (again["status"], again["counts"]["succeeded"]) == ("succeeded", 2)
    assert await rows(services, "SELECT count(*) FROM attempts") == [(1,)]


async def test_an_idempotency_key_is_good_for_one_batch(client: httpx.AsyncClient, services: Services) -> None:
    body = {"workflow_id": "boats", "prompt": "a boat", "items": [{"params": {"steps": 0}}, {}, {}]}

    first = await client.post(URL, json=body, headers={"Idempotency-Key": "one"})
    second = await client.post(URL, json=body, headers={"Idempotency-Key": "one"})

    assert (first.status_code, second.status_code) == (202, 422)
    assert second.json()["error"]["code"] == "idempotency_key_reuse"
    assert await rows(services, "SELECT count(*) FROM jobs") == [(2,)]


async def test_batches_are_their_accounts_own_and_listed_newest_first(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    batches = [await made(client, items=[{}]) for _ in range(3)]

    page = await client.get("/api/v1/batches", params={"limit": 2})
    rest = await client.get("/api/v1/batches", params={"limit": 2, "cursor": page.json()["next_cursor"]})

    AllBatches.model_validate_json(page.content)
    listed = [one["id"] for one in page.json()["batches"] + rest.json()["batches"]]
    assert listed == [one["id"] for one in reversed(batches)]
    assert rest.json()["next_cursor"] is None
    assert (await other.get("/api/v1/batches")).json()["batches"] == []
    path = f"/api/v1/batches/{batches[0]['id']}"
    assert (await other.get(path)).json()["error"]["code"] == "batch_not_found"
    assert (await other.post(f"{path}/cancel")).status_code == 404
    assert (await client.get("/api/v1/batches/nonsense")).status_code == 404
    assert (await client.get(path, params={"cursor": "x"})).json()["error"]["code"] == "invalid_cursor"


async def test_the_end_of_a_batch_is_told_once(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    batch = await made(client, items=[{}, {}])
    first, second = job_ids(batch)
    batch_id = uuid.UUID(batch["id"])

    async def told() -> bool:
        async with services.database.transaction() as tx:
            return await batches.ended(tx, batch_id) is not None

    await succeed(stage, first)
    early = await told()
    await succeed(stage, second)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(told()) for _ in range(5)]

    assert not early
    assert sorted(task.result() for task in asked) == [False] * 4 + [True]


async def test_a_batch_is_forgotten_behind_its_jobs(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    batch = await made(client, items=[{}])
    await succeed(stage, job_ids(batch)[0])

    async def forget() -> int:
        async with services.database.transaction() as tx:
            await tx.execute("UPDATE batches SET keep_until = now() - interval '1 s'")
            return await store.forget(tx)

    before = await forget()
    await rows(services, "DELETE FROM jobs RETURNING 1")

    assert (before, await forget()) == (0, 1)


async def test_others_are_served_while_a_thousand_items_are_drawn_up(client: httpx.AsyncClient) -> None:
    """The request takes its time; whoever asks something small meanwhile is answered before it."""
    async with asyncio.TaskGroup() as group:
        thousand = group.create_task(made(client, items=[{"prompt": str(number)} for number in range(1000)]))
        served = 0
        while not thousand.done():
            assert (await client.get("/health")).status_code == 200
            served += 1

    assert served >= 3
    assert thousand.result()["counts"]["queued"] == 1000
    assert len(thousand.result()["items"]) == 100
