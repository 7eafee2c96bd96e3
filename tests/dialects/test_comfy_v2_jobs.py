"""Jobs over HTTP: accepted, read, listed, canceled, and each refusal of the contract."""

import asyncio
import datetime as dt
from typing import Any

import httpx
from comfy_low.models import Job as SdkJob

from atelier.dialects.comfy_v2 import schemas
from atelier.dialects.services import Services
from atelier.kit.ids import JobId, new_uuid, parse_uuid
from support.graphs import picture, with_asset
from support.serving import Tenant
from support.stage import Stage

REQUIRED = {
    "id",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "expires_at",
    "queue_position",
    "progress",
    "outputs",
    "error",
    "urls",
}


async def submit(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    answer = await client.post("/api/v2/jobs", json={"workflow": picture(), **body}, headers=headers)
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


def id_of(job: dict[str, Any]) -> JobId:
    value = parse_uuid(job["id"])
    assert value is not None
    return JobId(value)


async def refused(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    return answer.status_code, error["code"]


async def test_an_accepted_job_says_all_that_clients_require(client: httpx.AsyncClient, base: str) -> None:
    job = await submit(client, metadata={"client": "acme"})

    assert job.keys() >= REQUIRED
    assert job["status"] == "queued"
    assert job["queue_position"] == 0
    assert job["metadata"] == {"client": "acme"}
    assert job["urls"]["self"] == f"{base}/api/v2/jobs/{job['id']}"
    assert all(job[name].endswith("Z") for name in ("created_at", "expires_at"))
    SdkJob.model_validate(job)
    schemas.Job.model_validate(job)


async def test_what_was_answered_is_what_is_read(client: httpx.AsyncClient) -> None:
    job = await submit(client)

    read = await client.get(job["urls"]["self"])

    assert read.status_code == 200
    assert read.json() == job


async def test_links_begin_with_the_host_that_was_asked(client: httpx.AsyncClient) -> None:
    job = await submit(client, {"Host": "studio.example.com"})

    assert job["urls"]["self"].startswith("http://studio.example.com/api/v2/jobs/")


async def test_a_finished_job_shows_its_outputs(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submit(client)
    [asset_id] = await stage.succeed(await stage.start(id_of(job)), [b"bytes of a picture"])

    done = (await client.get(job["urls"]["self"])).json()
    [output] = done["outputs"]
    picture_bytes = (await client.get(output["url"], headers={"Authorization": ""})).content
    asset = (await client.get(f"/api/v2/assets/{output['id']}")).json()

    assert done["status"] == "succeeded"
    assert done["metrics"]["execution_ms"] >= 0
    assert output["id"] == str(asset_id)
    assert output["size_bytes"] == len(picture_bytes)
    assert output["type"] == "image"
    assert asset["hash"] == output["hash"]
    assert asset["job_id"] == job["id"]
    SdkJob.model_validate(done)
    schemas.Job.model_validate(done)


async def test_a_running_job_shows_its_progress(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submit(client)
    await stage.progress(await stage.start(id_of(job)), 0.5)

    running = (await client.get(job["urls"]["self"])).json()

    assert running["status"] == "running"
    assert running["progress"]["value"] == 0.5
    assert running["queue_position"] is None
    SdkJob.model_validate(running)


async def test_a_failed_job_says_which_node_and_why(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submit(client)
    await stage.fail(await stage.start(id_of(job)))

    failed = (await client.get(job["urls"]["self"])).json()

    assert failed["status"] == "failed"
    assert failed["error"]["node_id"] == "3"
    assert failed["error"]["traceback"] == "line 1\nline 2"
    SdkJob.model_validate(failed)


async def test_a_claimed_job_is_queued_for_everybody(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submit(client)
    await stage.claim(id_of(job))

    claimed = (await client.get(job["urls"]["self"])).json()
    queued = (await client.get("/api/v2/jobs?status=queued")).json()

    assert claimed["status"] == "queued"
    assert [one["id"] for one in queued["jobs"]] == [job["id"]]


async def test_a_queued_job_is_canceled_at_once(client: httpx.AsyncClient) -> None:
    job = await submit(client)

    answer = await client.post(job["urls"]["cancel"])

    assert answer.status_code == 200
    assert answer.json()["status"] == "canceled"


async def test_a_running_job_is_canceling_until_its_server_let_go(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submit(client)
    claim = await stage.start(id_of(job))

    asked = (await client.post(job["urls"]["cancel"])).json()
    again = (await client.post(job["urls"]["cancel"])).json()
    await stage.let_go(claim)
    after = (await client.post(job["urls"]["cancel"])).json()

    assert [asked["status"], again["status"], after["status"]] == ["canceling", "canceling", "canceled"]


async def test_canceling_a_finished_job_changes_nothing(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submit(client)
    await stage.succeed(await stage.start(id_of(job)))

    answer = (await client.post(job["urls"]["cancel"])).json()

    assert answer["status"] == "succeeded"


async def test_the_workflow_comes_back_as_it_was_sent(client: httpx.AsyncClient) -> None:
    job = await submit(client)

    answer = (await client.get(f"{job['urls']['self']}/workflow")).json()

    assert answer == {"workflow": picture(), "format": "api"}


async def test_logs_are_empty(client: httpx.AsyncClient) -> None:
    job = await submit(client)

    assert (await client.get(job["urls"]["logs"])).status_code == 204


async def test_a_job_of_somebody_else_is_not_there(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    strangers, own = (await submit(other))["id"], (await submit(client))["id"]

    for job_id in (strangers, str(new_uuid()), "1", own.upper()):
        for path in ("", "/workflow", "/events", "/logs", "/cancel"):
            answer = await client.request("POST" if path == "/cancel" else "GET", f"/api/v2/jobs/{job_id}{path}")

            assert await refused(answer) == (404, "not_found"), (job_id, path)


async def test_jobs_are_listed_newest_first_in_pages(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    sent = [(await submit(client))["id"] for _ in range(5)]
    await submit(other)

    pages: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        pages.append((await client.get("/api/v2/jobs", params={"limit": 2, "cursor": cursor})).json())
        cursor = pages[-1]["next_cursor"]

    assert [len(page["jobs"]) for page in pages] == [2, 2, 1]
    assert [job["id"] for page in pages for job in page["jobs"]] == sent[::-1]
    schemas.JobList.model_validate(pages[0])


async def test_jobs_are_found_by_their_labels(client: httpx.AsyncClient) -> None:
    both = await submit(client, metadata={"a": "1", "b": "ü"})
    one = await submit(client, metadata={"a": "1"})
    await submit(client)

    by_a = (await client.get("/api/v2/jobs", params={"metadata[a]": "1"})).json()
    by_both = (await client.get("/api/v2/jobs", params={"metadata[a]": "1", "metadata[b]": "ü"})).json()

    assert [job["id"] for job in by_a["jobs"]] == [one["id"], both["id"]]
    assert [job["id"] for job in by_both["jobs"]] == [both["id"]]
    assert by_both["jobs"][0]["metadata"] == {"a": "1", "b": "ü"}


async def test_metadata_may_be_one_string(client: httpx.AsyncClient) -> None:
    job = await submit(client, metadata="as the self-hosted proxy takes it")

    assert (await client.get(job["urls"]["self"])).json()["metadata"] == "as the self-hosted proxy takes it"


BAD_QUESTIONS = (
    ("limit=0", "invalid_request"),
    ("limit=101", "invalid_request"),
    ("limit=x", "invalid_request"),
    ("limit=", "invalid_request"),
    ("limit=%C2%B2", "invalid_request"),
    ("cursor=x", "invalid_cursor"),
    ("cursor=-1", "invalid_cursor"),
    ("cursor=9999999999999999999", "invalid_cursor"),
    ("status=done", "invalid_request"),
    ("status=", "invalid_request"),
    ("metadata=x", "invalid_metadata_filter"),
    ("metadata[]=x", "invalid_metadata_filter"),
    ("metadata[a b]=x", "invalid_metadata_filter"),
    ("metadata[a]=x%00", "invalid_metadata_filter"),
    ("metadata[a]=x&metadata[a]=y", "invalid_metadata_filter"),
    ("metadata[a]=1&metadata[b]=1&metadata[c]=1&metadata[d]=1", "invalid_metadata_filter"),
)


async def test_a_bad_question_for_the_list_is_400(client: httpx.AsyncClient) -> None:
    for query, code in BAD_QUESTIONS:
        assert await refused(await client.get(f"/api/v2/jobs?{query}")) == (400, code), query


MALFORMED = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b'{"workflow": NaN}',
    b'{"workflow": {"1": 1e999}}',
    b'{"workflow": {"1": "\\u0000"}}',
    b'{"workflow": {"1": "\\ud800"}}',
    b'{"workflow": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    b'{"workflow": {}, "unknown": 1}',
    b'{"workflow": {}, "extra_data": []}',
    b'{"workflow": {}, "extra_data": {"unknown": 1}}',
    b'{"workflow": {}, "extra_data": {"api_key_comfy_org": 1}}',
)


async def test_a_malformed_submission_is_400(client: httpx.AsyncClient) -> None:
    for body in MALFORMED:
        answer = await client.post("/api/v2/jobs", content=body, headers={"Content-Type": "application/json"})

        assert await refused(answer) == (400, "invalid_request"), body[:60]


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "invalid_workflow"),
    ({"workflow": None}, "invalid_workflow"),
    ({"workflow": []}, "invalid_workflow"),
    ({"workflow": {}}, "invalid_workflow"),
    ({"workflow": {"nodes": [], "links": []}}, "workflow_format_ui"),
    ({"workflow": with_asset(str(new_uuid()))}, "missing_asset"),
    ({"workflow": with_asset(7)}, "missing_asset"),
    ({"workflow": picture(), "webhook_url": "https://example.com"}, "invalid_request"),
    ({"workflow": picture(), "inputs": {}}, "invalid_request"),
    ({"workflow": picture(), "metadata": []}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"a": 1}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"": "x"}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"a b": "x"}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"a" * 41: "x"}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"a": "ü" * 129}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"a": "\u202e"}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {"a": "\n"}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": {str(n): "x" for n in range(17)}}, "metadata_invalid"),
    ({"workflow": picture(), "metadata": "x" * 1025}, "metadata_invalid"),
)


async def test_a_submission_that_cannot_be_done_is_422(client: httpx.AsyncClient) -> None:
    for body, code in IMPOSSIBLE:
        assert await refused(await client.post("/api/v2/jobs", json=body)) == (422, code), body


async def test_what_was_refused_left_nothing_behind(client: httpx.AsyncClient) -> None:
    await client.post("/api/v2/jobs", json={"workflow": {}}, headers={"Idempotency-Key": "once"})

    listed = (await client.get("/api/v2/jobs")).json()

    assert listed == {"jobs": [], "next_cursor": None}
    await submit(client, {"Idempotency-Key": "once"})


async def test_a_body_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(300):
            yield b" " * 1000

    declared = await client.post("/api/v2/jobs", content=b" " * 200_001)
    streamed = await client.post("/api/v2/jobs", content=endless())

    assert await refused(declared) == (413, "payload_too_large")
    assert await refused(streamed) == (413, "payload_too_large")


async def test_an_idempotency_key_works_once_per_account(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    once = {"Idempotency-Key": "k" * 255}
    await submit(client, once)
    await submit(other, once)

    again = await client.post("/api/v2/jobs", json={"workflow": picture()}, headers=once)

    assert await refused(again) == (422, "idempotency_key_reuse")
    assert len((await client.get("/api/v2/jobs")).json()["jobs"]) == 1


async def test_of_many_with_one_key_one_is_accepted(client: httpx.AsyncClient) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                client.post("/api/v2/jobs", json={"workflow": picture()}, headers={"Idempotency-Key": "race"})
            )
            for _ in range(6)
        ]

    assert sorted(task.result().status_code for task in tasks) == [201, 422, 422, 422, 422, 422]


async def test_an_unusable_idempotency_key_is_400(client: httpx.AsyncClient) -> None:
    for key in ("", "k" * 256, "ä", "a	b"):
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        answer = await client.post("/api/v2/jobs", json={"workflow": picture()}, headers=headers)

        assert await refused(answer) == (400, "invalid_request"), key


async def test_a_full_queue_is_429_and_gives_the_key_back(client: httpx.AsyncClient) -> None:
    jobs = [await submit(client) for _ in range(10)]

    full = await client.post("/api/v2/jobs", json={"workflow": picture()}, headers={"Idempotency-Key": "k"})
    for job in jobs:
        await client.post(job["urls"]["cancel"])
    await asyncio.sleep(1.05)

    assert await refused(full) == (429, "queue_full")
    assert int(full.headers["retry-after"]) >= 1
    await submit(client, {"Idempotency-Key": "k"})


async def test_secrets_are_kept_for_the_server_and_shown_to_nobody(
    client: httpx.AsyncClient, services: Services
) -> None:
    job = await submit(client, extra_data={"api_key_comfy_org": "partner-secret"})

    async with services.database.autocommit() as tx:
        row = await (await tx.execute("SELECT secrets FROM jobs WHERE id = %s", (job["id"],))).fetchone()
    answers = [
        await client.get(path) for path in (job["urls"]["self"], f"{job['urls']['self']}/workflow", "/api/v2/jobs")
    ]

    assert row == ({"api_key_comfy_org": "partner-secret"},)
    assert all("partner-secret" not in answer.text for answer in answers)


async def test_a_job_lives_as_long_as_its_account_was_told(client: httpx.AsyncClient) -> None:
    job = await submit(client)

    kept = dt.datetime.fromisoformat(job["expires_at"]) - dt.datetime.fromisoformat(job["created_at"])

    assert kept == dt.timedelta(hours=2)


async def test_a_role_changes_nothing_here(base: str, tenant: Tenant) -> None:
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
        assert (await client.get("/api/v2/jobs")).status_code == 200
