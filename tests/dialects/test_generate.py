"""Whatever a workflow makes is asked for by its parameters; what is wrong is said before anything is written."""

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest

from atelier.dialects.generate_wire import Made, Quoted
from atelier.dialects.services import Services
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Origin
from atelier.fleet.store import catalogs, roster
from atelier.jobs.recipe import Finish, Metadata, PictureFormat, Recipe
from atelier.jobs.store import recipes
from atelier.kit.ids import JobId, ServerId
from support.pictures import png
from support.serving import Tenant, eventually, make_tenant
from support.stage import Stage
from support.studio import data_uri, open_studio

BOAT = {"workflow_id": "boats", "prompt": "a red boat"}
PICTURE, MASK = png((8, 6)), png((8, 6), (255, 255, 255))
RETOUCH = {"workflow_id": "retouch", "input_image": data_uri(PICTURE), "mask": data_uri(MASK)}
TABLES = ("jobs", "graphs", "holds", "job_recipes", "job_inputs", "idempotency_keys", "requirements")
URL = "/api/v1/generate"


@pytest.fixture
async def client(client: httpx.AsyncClient, services: Services) -> httpx.AsyncClient:
    await open_studio(services.database, services.registry)
    client.timeout = httpx.Timeout(60)
    return client


async def rows(services: Services, query: str, *values: object) -> list[tuple[Any, ...]]:
    async with services.database.autocommit() as tx:
        return await (await tx.execute(query.encode(), values)).fetchall()


async def written(services: Services) -> int:
    counts = [await rows(services, f"SELECT count(*) FROM {table}") for table in TABLES]  # noqa: S608 - fixed
    return sum(count for [(count,)] in counts)


async def made(client: httpx.AsyncClient, body: Any, url: str = URL, **headers: str) -> dict[str, Any]:
    """Accepted, and shaped as the document says."""
    answer = await client.post(url, json=body, headers=headers)
    assert answer.status_code in {200, 202}, answer.text
    Made.model_validate_json(answer.content)
    return dict(answer.json())


async def refused(client: httpx.AsyncClient, body: Any, status: int = 400, url: str = URL) -> dict[str, Any]:
    answer = await client.post(url, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json()["error"])


async def recipe_of(services: Services, tenant: Tenant, job_id: str) -> Recipe:
    async with services.database.autocommit() as tx:
        found = await recipes.recipe_of(tx, tenant.account_id, JobId(uuid.UUID(job_id)))
    assert found is not None
    return found


async def only_job(services: Services) -> JobId:
    """As soon as there is one."""
    await eventually(lambda: _is_there(services))
    [(job_id,)] = await rows(services, "SELECT id FROM jobs")
    return JobId(job_id)


async def _is_there(services: Services) -> bool:
    return bool(await rows(services, "SELECT 1 FROM jobs"))


async def test_a_run_of_a_workflow_is_a_job_that_says_what_it_was_made_of(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    answer = await client.post(URL, json=BOAT | {"params": {"steps": 12}, "metadata": {"order": "7"}})

    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == body["urls"]["self"]
    assert (body["status"], body["workflow_id"], body["version"], body["price"]) == ("queued", "boats", "1.0.0", 3)
    assert (body["outputs"], body["error"], body["batch_id"], body["cached"]) == ([], None, None, False)
    assert body["params"] == {"prompt": "a red boat", "steps": 12, "seed": body["seed"]}
    job = (await client.get(body["urls"]["self"])).json()
    assert (job["workflow_id"], job["metadata"], job["dialect"]) == ("boats", {"order": "7"}, "generate")
    assert job["params"] == body["params"]
    graph = (await client.get(f"/api/v2/jobs/{body['id']}/workflow")).json()["workflow"]
    assert (graph["2"]["inputs"]["text"], graph["5"]["inputs"]["steps"]) == ("a red boat", 12)
    assert graph["5"]["inputs"]["seed"] == body["seed"]
    assert await rows(services, "SELECT amount FROM holds") == [(3000,)]


async def test_names_that_all_workflows_share_may_stand_among_the_parameters_too(
    client: httpx.AsyncClient,
) -> None:
    body = await made(client, {"workflow_id": "boats", "params": {"prompt": "x", "seed": 7}, "seed": 7})

    assert (body["params"]["prompt"], body["seed"]) == ("x", 7)
    twice = await refused(client, {"workflow_id": "boats", "prompt": "x", "seed": 7, "params": {"seed": 8}})
    assert twice["details"]["errors"] == [{"parameter": "seed", "message": "is said twice, and differs"}]


async def test_an_answer_waits_for_the_files_and_says_where_they_are(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post(f"{URL}?wait=60", json=BOAT))
        [asset] = await stage.succeed(await stage.start(await only_job(services)), [PICTURE])

    answer = asked.result()
    assert answer.status_code == 200
    Made.model_validate_json(answer.content)
    [output] = answer.json()["outputs"]
    assert (answer.json()["status"], output["id"]) == ("succeeded", str(asset))
    assert (await client.get(output["url"])).content == PICTURE


async def test_an_answer_that_waited_says_what_failed(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post(f"{URL}?wait=60", json=BOAT))
        await stage.fail(await stage.start(await only_job(services)))

    body = asked.result().json()
    assert (asked.result().status_code, body["status"], body["outputs"]) == (200, "failed", [])
    assert body["error"]["code"] == "node_execution_error"


async def test_an_answer_that_waited_in_vain_is_as_one_that_did_not_wait(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{URL}?wait=0.05", json=BOAT)

    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    for wrong in ("121", "-1", "x", "1e1"):
        assert (await client.post(f"{URL}?wait={wrong}", json=BOAT)).status_code == 400


async def test_nothing_waits_for_a_client_that_has_gone(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await client.post(f"{URL}?wait=120", json=BOAT, timeout=httpx.Timeout(60, read=0.5))

    async def nobody_waits() -> bool:
        return not services.streams._open and not services.wakeups._subscribers.get(f"job:{job_id}")

    job_id = await only_job(services)
    await eventually(nobody_waits)
    assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["state"] == "queued"


async def test_a_process_that_stops_lets_nobody_wait(client: httpx.AsyncClient, services: Services) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post(f"{URL}?wait=120", json=BOAT))
        await only_job(services)
        services.closing.set()

    assert asked.result().status_code == 202


async def test_every_bad_parameter_is_named_with_its_bounds_and_nothing_is_written(
    client: httpx.AsyncClient, services: Services
) -> None:
    before = await written(services)

    error = await refused(client, {"workflow_id": "boats", "seed": 2**40, "params": {"steps": 99, "stepz": 1}})

    assert error["code"] == "invalid_parameter"
    told = {one["parameter"]: one for one in error["details"]["errors"]}
    assert set(told) == {"prompt", "seed", "steps", "stepz"}
    assert (told["steps"]["min"], told["steps"]["max"]) == (1, 50)
    assert told["stepz"]["nearest"] == ["steps"]
    for wrong in ({"prompt": 5}, {"prompt": ["x"]}, {"params": {"steps": "many"}}, {"mask": "x"}):
        await refused(client, BOAT | wrong)
    assert await written(services) == before


async def test_what_is_no_request_is_refused(client: httpx.AsyncClient) -> None:
    bodies: list[Any] = [{"workflow_id": 5}, {}, {"workflow_id": "boats", "steps": 3}, {"workflow_id": ""}, [BOAT]]
    wishes: list[Any] = [
        {"output": {"format": "tga"}},
        {"output": {"quality": 0}},
        {"params": []},
        {"version": {}},
    ]

    for wrong in bodies:
        assert (await refused(client, wrong))["code"] == "invalid_request"
    for wrong in wishes:
        await refused(client, BOAT | wrong)


async def test_an_unknown_workflow_is_not_found_and_its_nearest_is_named(client: httpx.AsyncClient) -> None:
    error = await refused(client, BOAT | {"workflow_id": "boat"}, 404)

    assert (error["code"], error["details"]["nearest"]) == ("workflow_not_found", ["boats"])
    assert (await refused(client, BOAT | {"version": "9.9.9"}, 404))["code"] == "workflow_not_found"
    assert (await made(client, BOAT | {"version": "1.0.0"}))["revision"] == 1
    assert (await made(client, BOAT | {"version": 1}))["revision"] == 1


async def test_files_come_as_data_as_assets_as_links_and_as_uploads(
    client: httpx.AsyncClient, services: Services
) -> None:
    first = await made(client, RETOUCH)
    picture, mask = first["params"]["input_image"], first["params"]["mask"]
    link = (await client.get(f"/api/v2/assets/{picture}")).json()["url"]

    second = await made(client, {"workflow_id": "retouch", "input_image": {"id": picture}, "mask": mask})
    third = await made(client, {"workflow_id": "retouch", "input_image": link, "mask": {"url": f"{link}"}})
    form = {"workflow_id": "retouch", "params": json.dumps({"prefix": "form"})}
    files = {"input_image": ("me.png", PICTURE), "mask": ("mask.png", MASK)}
    fourth = await client.post(URL, data=form, files=files)

    assert second["params"] == first["params"]
    assert third["params"]["input_image"] == third["params"]["mask"] == picture
    assert fourth.status_code == 202
    assert fourth.json()["params"]["prefix"] == "form"
    named = await rows(
        services, "SELECT file_path FROM assets WHERE id = %s", fourth.json()["params"]["input_image"]
    )
    assert named == [("me.png",)]
    inputs = await rows(services, "SELECT asset_id FROM job_inputs WHERE job_id = %s", first["id"])
    assert {str(one) for (one,) in inputs} == {picture, mask}


async def test_missing_and_unfit_files_are_refused_and_what_came_before_is_named(
    client: httpx.AsyncClient, services: Services, stranger: Tenant
) -> None:
    before = await written(services)

    missing = await refused(client, {"workflow_id": "retouch", "mask": data_uri(MASK)})
    sizes = await refused(client, RETOUCH | {"mask": data_uri(png((6, 8)))})
    private = await refused(client, RETOUCH | {"input_image": "http://169.254.169.254/latest/meta-data"})
    text = await refused(client, RETOUCH | {"mask": data_uri(b"{}")})
    nobody = await refused(client, RETOUCH | {"mask": str(uuid.uuid4())})

    assert [one["parameter"] for one in missing["details"]["errors"]] == ["input_image"]
    [told] = sizes["details"]["errors"]
    assert (told["parameter"], told["reason"], told["size"], told["wanted"]) == (
        "mask",
        "size_differs",
        [6, 8],
        [8, 6],
    )
    assert {one["parameter"] for one in sizes["details"]["received"]} == {"input_image", "mask"}
    reasons = [error["details"]["errors"][0]["reason"] for error in (private, text, nobody)]
    assert reasons == ["forbidden_address", "not_an_image", "not_found"]
    assert all(one["expires_at"] for one in sizes["details"]["received"])
    assert await written(services) == before
    assert await rows(services, "SELECT 1 FROM assets WHERE expires_at IS NULL") == []


async def test_forms_that_are_none_are_refused(client: httpx.AsyncClient) -> None:
    files = {"input_image": ("me.png", PICTURE)}
    wrong: list[dict[str, Any]] = [
        {"data": {"workflow_id": "retouch", "params": "{"}, "files": files},
        {"data": {"workflow_id": "retouch", "nothing": "1"}, "files": files},
        {"data": {"workflow_id": "retouch", "params": "[]"}, "files": {"other": ("x.png", PICTURE)}},
        {"data": {"workflow_id": "retouch"}, "files": {"input_image": ("x.txt", b"text")}},
        {"data": {"workflow_id": "retouch", "prompt": "a\0b"}, "files": files},
        {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
    ]

    for given in wrong:
        assert (await client.post(URL, **given)).status_code in {400, 422}, given

    too_large = await client.post(URL, data={"workflow_id": "retouch"}, files={"mask": ("m", b"\0" * 5_000_000)})
    assert too_large.status_code in {400, 413}


async def test_an_idempotency_key_is_used_once(client: httpx.AsyncClient, services: Services) -> None:
    await made(client, BOAT, **{"Idempotency-Key": "order-1"})

    again = await client.post(URL, json=BOAT, headers={"Idempotency-Key": "order-1"})

    assert (again.status_code, again.json()["error"]["code"]) == (422, "idempotency_key_reuse")
    assert await rows(services, "SELECT count(*) FROM jobs") == [(1,)]


async def test_class_and_end_user_are_as_the_headers_say(
    client: httpx.AsyncClient, base: str, services: Services
) -> None:
    vip = await make_tenant(services.database, "vip", max_priority=8, on_behalf=True)
    headers = {**vip.headers, "X-Atelier-Priority": "9", "X-On-Behalf-Of": "ann"}

    answer = await client.post(URL, json=BOAT, headers=headers)

    assert answer.headers["x-atelier-priority"] == "8"
    assert "lowered" in answer.headers["x-atelier-notice"]
    assert await rows(services, "SELECT priority, end_user FROM jobs") == [(8, "ann")]
    plain = await client.post(URL, json=BOAT, headers={"X-On-Behalf-Of": "ann"})
    assert plain.status_code == 403


async def test_a_character_is_refused_while_there_are_none(client: httpx.AsyncClient, services: Services) -> None:
    error = await refused(client, BOAT | {"character_id": "c-1"}, 422)

    assert error["code"] == "characters_unavailable"
    await made(client, BOAT | {"character_id": None})


async def test_how_files_are_delivered_is_kept_with_the_job(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    plain = await made(client, BOAT | {"seed": 1})
    wish = {"format": "jpg", "quality": 55, "metadata": "strip"}

    wished = await made(client, BOAT | {"seed": 2, "output": wish})

    usual = (await recipe_of(services, tenant, plain["id"])).finish
    said = {"workflow": "boats", "version": "1.0.0", "seed": 1, "params": plain["params"]}
    assert usual == Finish(PictureFormat.ORIGINAL, 80, Metadata.KEEP, ("7",), said)
    finish = (await recipe_of(services, tenant, wished["id"])).finish
    assert finish is not None
    assert (finish.format, finish.quality, finish.metadata) == (PictureFormat.JPEG, 55, Metadata.STRIP)


async def test_a_webhook_of_one_request_is_kept_with_its_job_and_checked_before(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    body = await made(client, BOAT | {"webhook": {"url": "https://203.0.114.5/hook", "events": ["job.succeeded"]}})

    webhook = (await recipe_of(services, tenant, body["id"])).webhook

    assert webhook is not None
    assert (webhook.url, webhook.events, webhook.secret) == ("https://203.0.114.5/hook", ("job.succeeded",), None)
    for wrong in (
        {"url": "http://127.0.0.1/x"},
        {"url": "https://203.0.114.5", "events": ["job.x"]},
        {"url": "x"},
    ):
        answer = await client.post(URL, json=BOAT | {"webhook": wrong})
        assert answer.status_code in {400, 422}, wrong
    assert await rows(services, "SELECT count(*) FROM jobs") == [(1,)]


async def test_retrying_a_job_keeps_what_it_was_made_of(
    client: httpx.AsyncClient, services: Services, stage: Stage, tenant: Tenant
) -> None:
    body = await made(client, BOAT | {"seed": 5})
    await stage.fail(await stage.start(JobId(uuid.UUID(body["id"]))))

    again = (await client.post(f"/api/v1/jobs/{body['id']}/retry")).json()

    old, new = [await recipe_of(services, tenant, one) for one in (body["id"], again["id"])]
    assert (new.workflow, new.params, new.seed, new.finish) == (old.workflow, old.params, old.seed, old.finish)
    assert new.cache_key is None
    assert await rows(services, "SELECT amount FROM holds WHERE job_id = %s", again["id"]) == [(3000,)]


async def test_a_purpose_finds_its_workflow(client: httpx.AsyncClient, services: Services) -> None:
    request = {name: value for name, value in RETOUCH.items() if name != "workflow_id"}

    body = await made(client, request, "/api/v1/edit/inpaint")

    assert body["workflow_id"] == "retouch"
    assert (await made(client, BOAT, "/api/v1/edit/inpaint"))["workflow_id"] == "boats"
    assert (await made(client, BOAT, "/api/v1/generate/single"))["workflow_id"] == "boats"
    error = await refused(client, {"input_image": data_uri(PICTURE)}, 404, "/api/v1/edit/upscale")
    assert error["code"] == "workflow_not_found"


async def test_a_quote_writes_and_fetches_nothing(client: httpx.AsyncClient, services: Services) -> None:
    before, files = await written(services), await rows(services, "SELECT count(*) FROM assets")

    answers = [
        await client.post("/api/v1/generate/quote", json=BOAT),
        await client.post("/api/v1/workflows/boats/quote", json={"prompt": "x"}),
        await client.post("/api/v1/generate/quote", json=RETOUCH | {"input_image": "https://203.0.114.5/x.png"}),
    ]

    for answer in answers:
        assert answer.status_code == 200, answer.text
        Quoted.model_validate_json(answer.content)
    first = answers[0].json()
    assert (first["price"], first["runnable"], first["queue_position"]) == (3, None, 0)
    assert answers[0].json() == answers[1].json()
    assert await written(services) == before
    assert await rows(services, "SELECT count(*) FROM assets") == files


async def test_a_quote_is_refused_for_what_generate_refuses(client: httpx.AsyncClient) -> None:
    assert (await refused(client, BOAT | {"params": {"steps": 0}}, url=f"{URL}/quote"))[
        "code"
    ] == "invalid_parameter"
    assert (await refused(client, BOAT | {"workflow_id": "x"}, 404, f"{URL}/quote"))[
        "code"
    ] == "workflow_not_found"
    assert (await refused(client, {}, 404, "/api/v1/workflows/nothing/quote"))["code"] == "workflow_not_found"
    gone = await refused(client, RETOUCH | {"mask": str(uuid.uuid4())}, url=f"{URL}/quote")
    assert gone["code"] == "invalid_input"


async def test_a_quote_says_what_no_server_has(client: httpx.AsyncClient, services: Services) -> None:
    async with services.database.transaction() as tx:
        await roster.put(tx, ServerId("s1"), "http://127.0.0.1:1", {}, Origin.ADDED)
        await catalogs.save_inventory(tx, ServerId("s1"), from_object_info({"SaveImage": {"input": {}}}), {})
    await services.intake.fleet.refresh()

    quote = (await client.post(f"{URL}/quote", json=BOAT)).json()

    assert quote["runnable"] is False
    assert "KSampler" in quote["missing"]["missing_node_classes"]
    assert (await refused(client, BOAT, 422))["code"] == "invalid_workflow"
