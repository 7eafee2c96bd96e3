from typing import Any

import httpx

from atelier.dialects.comfyui.jobs import MOST_IDS
from atelier.kit.ids import new_uuid
from support.graphs import picture
from support.prompts import job_id, prompt, v2_job
from support.stage import Stage


async def listed(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/api/jobs{query}")
    assert answer.status_code == 200, answer.text
    jobs: list[dict[str, Any]] = answer.json()["jobs"]
    return jobs


async def ids(client: httpx.AsyncClient, query: str = "") -> list[str]:
    return [job["id"] for job in await listed(client, query)]


async def one_of_each(client: httpx.AsyncClient, stage: Stage) -> dict[str, str]:
    """By status, in the order of submitting."""
    made: dict[str, str] = {}
    for status in ("completed", "failed", "cancelled", "in_progress", "pending"):
        made[status] = (await prompt(client))["prompt_id"] if status != "failed" else await v2_job(client)
        if status == "pending":
            break
        claim = await stage.start(job_id(made[status]))
        if status == "completed":
            await stage.succeed(claim)
        elif status == "failed":
            await stage.fail(claim)
        elif status == "cancelled":
            await client.post("/interrupt", json={"prompt_id": made[status]})
            await stage.let_go(claim)
    return made


async def test_every_state_has_its_word(client: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    shown = await listed(client)

    assert [(job["status"], job["id"]) for job in shown] == list(reversed(made.items()))


async def test_a_list_can_be_of_some_states(client: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    assert await ids(client, "?status=in_progress,pending") == [made["pending"], made["in_progress"]]
    assert await ids(client, "?status=%20Completed,,FAILED&sort_order=ASC") == [made["completed"], made["failed"]]
    assert await ids(client, "?status=cancelled&sort_by=execution_duration") == [made["cancelled"]]


async def test_a_list_comes_in_pages(client: httpx.AsyncClient) -> None:
    made = [(await prompt(client))["prompt_id"] for _ in range(3)]

    first = (await client.get("/api/jobs?limit=2&offset=-5")).json()
    second = (await client.get("/api/jobs?limit=2&offset=2")).json()
    beyond = (await client.get("/api/jobs?offset=5")).json()

    assert [job["id"] for job in first["jobs"]] == made[:0:-1]
    assert first["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    assert [job["id"] for job in second["jobs"]] == made[:1]
    assert second["pagination"] == {"offset": 2, "limit": 2, "total": 3, "has_more": False}
    assert beyond == {"jobs": [], "pagination": {"offset": 5, "limit": None, "total": 3, "has_more": False}}


async def test_a_list_can_be_of_one_workflow(client: httpx.AsyncClient) -> None:
    workflow = {"extra_pnginfo": {"workflow": {"id": "flow", "nodes": []}}}
    mine = await prompt(client, extra_data=workflow)
    await prompt(client)

    [job] = await listed(client, "?workflow_id=flow")

    assert (job["id"], job["workflow_id"], job["priority"]) == (mine["prompt_id"], "flow", mine["number"])
    assert await ids(client, "?workflow_id=other") == []


_BAD = (
    (
        "status=done",
        "Invalid status value(s): done. Valid values: pending, in_progress, completed, failed, cancelled",
    ),
    ("sort_by=x", "sort_by must be 'created_at' or 'execution_duration'"),
    ("sort_order=x", "sort_order must be 'asc' or 'desc'"),
    ("limit=0", "limit must be a positive integer"),
    ("limit=-1", "limit must be a positive integer"),
    ("limit=x", "limit must be an integer"),
    ("offset=x", "offset must be an integer"),
    ("workflow_id=%00", "workflow_id must not contain the character U+0000"),
)


async def test_a_bad_value_is_told_in_the_servers_words(client: httpx.AsyncClient) -> None:
    for query, words in _BAD:
        refused = await client.get(f"/api/jobs?{query}")

        assert (refused.status_code, refused.json()) == (400, {"error": words})


async def test_an_ended_job_shows_when_it_ran_and_what_stands_for_it(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    made = await v2_job(client)
    await stage.succeed(await stage.start(job_id(made)), [b"one", b"two"])

    [job] = await listed(client)

    assert job.keys() == {
        "id",
        "status",
        "priority",
        "create_time",
        "execution_start_time",
        "execution_end_time",
        "outputs_count",
        "previewable_outputs_count",
        "preview_output",
    }
    assert job["create_time"] <= job["execution_start_time"] <= job["execution_end_time"]
    assert job["outputs_count"] == 2
    assert job["preview_output"] == {
        "filename": f"ComfyUI_{job['priority']:05}_.png",
        "subfolder": "",
        "type": "output",
        "nodeId": "9",
        "mediaType": "images",
    }


async def test_a_failed_job_says_why(client: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    [job] = await listed(client, "?status=failed")

    assert job["id"] == made["failed"]
    assert (job["execution_error"]["node_id"], job["execution_error"]["exception_message"]) == ("3", "boom")


async def test_a_job_of_its_own_shows_its_workflow(client: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    ended = (await client.get(f"/api/jobs/{made['completed']}")).json()
    waiting = (await client.get(f"/api/jobs/{made['pending']}")).json()

    assert ended["workflow"]["prompt"] == picture()
    assert ended["workflow"]["extra_data"].keys() == {"create_time"}
    assert ended["execution_status"]["status_str"] == "success"
    assert "outputs" in ended
    assert waiting["workflow"]["prompt"] == picture()
    assert "outputs" not in waiting


async def test_a_job_is_the_same_by_every_api(client: httpx.AsyncClient) -> None:
    native, v2 = (await prompt(client))["prompt_id"], await v2_job(client)

    for made in (native, v2):
        assert (await client.get(f"/api/jobs/{made}")).json()["status"] == "pending"
        assert (await client.get(f"/api/v2/jobs/{made}")).json()["status"] == "queued"
        assert (await client.get(f"/api/v1/jobs/{made}")).json()["state"] == "queued"
    assert {job["id"] for job in (await client.get("/api/v1/jobs")).json()["jobs"]} == {native, v2}
    assert set(await ids(client)) == {native, v2}


async def test_a_foreign_job_is_none(client: httpx.AsyncClient, other: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    assert await listed(other) == []
    for unknown in (*made.values(), str(new_uuid()), "nope"):
        answer = await other.get(f"/api/jobs/{unknown}")
        assert (answer.status_code, answer.json()) == (404, {"error": "Job not found"})
        assert (await other.post(f"/api/jobs/{unknown}/cancel")).json() == {"cancelled": False}
    assert (await other.post("/api/jobs/cancel", json={"job_ids": list(made.values())})).json() == {
        "cancelled": False
    }
    assert len(await ids(client, "?status=in_progress,pending")) == 2


async def test_cancel_stops_what_runs_and_takes_out_what_waits(client: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    stopped = {status: await cancelled(client, made_id) for status, made_id in made.items()}

    assert stopped == {
        "completed": False,
        "failed": False,
        "cancelled": False,
        "in_progress": True,
        "pending": True,
    }
    assert (await client.get(f"/api/v2/jobs/{made['in_progress']}")).json()["status"] == "canceling"
    assert (await client.get(f"/api/v2/jobs/{made['pending']}")).json()["status"] == "canceled"
    assert not await cancelled(client, made["pending"])


async def cancelled(client: httpx.AsyncClient, made: str) -> bool:
    answer = await client.post(f"/api/jobs/{made}/cancel")
    assert answer.status_code == 200
    return bool(answer.json()["cancelled"])


async def test_several_are_canceled_at_once(client: httpx.AsyncClient, stage: Stage) -> None:
    made = await one_of_each(client, stage)

    answer = await client.post("/api/jobs/cancel", json={"job_ids": [*made.values(), str(new_uuid())]})

    assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
    assert await ids(client, "?status=pending") == []
    nothing = await client.post("/api/jobs/cancel", json={"job_ids": []})
    assert (nothing.status_code, nothing.json()) == (200, {"cancelled": False})


async def test_ids_that_are_none_cancel_nothing(client: httpx.AsyncClient) -> None:
    waiting = (await prompt(client))["prompt_id"]

    async def refused(content: bytes) -> tuple[int, Any]:
        answer = await client.post("/api/jobs/cancel", content=content)
        return answer.status_code, answer.json()

    assert await refused(b"{bad") == (400, {"error": "Request body must be valid JSON"})
    assert await refused(b"[]") == (400, {"error": "job_ids must be a list"})
    assert await refused(b'{"job_ids": "x"}') == (400, {"error": "job_ids must be a list"})
    assert await refused(f'{{"job_ids": ["{waiting}", "nope", 5]}}'.encode()) == (
        400,
        {"error": "job_ids contains invalid id(s)", "invalid_ids": ["nope", "5"]},
    )
    many = await client.post("/api/jobs/cancel", json={"job_ids": [str(new_uuid())] * (MOST_IDS + 1)})
    assert many.status_code == 400
    assert await ids(client) == [waiting]


async def test_assets_of_a_job_are_the_clouds(client: httpx.AsyncClient) -> None:
    waiting = (await prompt(client))["prompt_id"]

    assert (await client.get(f"/api/jobs/{waiting}/assets?limit=1&offset=0")).status_code == 404


async def test_the_job_api_exists_below_api_alone(client: httpx.AsyncClient) -> None:
    for path in ("/jobs", f"/jobs/{new_uuid()}", "/api/api/jobs"):
        assert (await client.get(path)).status_code == 404
