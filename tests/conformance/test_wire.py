"""A job in each of its states as it stands on the wire: every required key, times with Z, absolute links."""

import datetime as dt
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from comfy_sdk import Comfy, Workflow

from conformance import graphs
from conformance.installation import Installation

JOB = {"id", "status", "created_at", "started_at", "completed_at", "expires_at", "queue_position", "progress"}
JOB |= {"outputs", "error", "urls", "metrics", "metadata"}
OUTPUT = {"node_id", "name", "type", "content_type", "size_bytes", "id", "hash", "url", "url_expires_at", "job_id"}
ASSET = {"id", "hash", "size_bytes", "content_type", "created_at", "url", "url_expires_at"}
PROGRESS = {"value", "nodes_done", "nodes_total", "current_node", "current_node_class", "step", "steps", "message"}


def times(value: Any) -> list[str]:
    """All values of keys that name a moment."""
    match value:
        case dict():
            here = [value[key] for key in value if key.endswith(("_at", "_time")) and value[key] is not None]
            return here + [moment for nested in value.values() for moment in times(nested)]
        case list():
            return [moment for nested in value for moment in times(nested)]
        case _:
            return []


def judge(job: dict[str, Any], base: str) -> None:
    assert job.keys() >= JOB
    assert str(uuid.UUID(job["id"])) == job["id"]
    for moment in times(job):
        assert moment.endswith("Z")
        assert dt.datetime.fromisoformat(moment).utcoffset() == dt.timedelta()
    for name, url in job["urls"].items():
        assert url.startswith(f"{base}/api/v2/jobs/{job['id']}"), name
    for output in job["outputs"]:
        assert output.keys() == OUTPUT
        assert output["url"].startswith(base)
        assert output["size_bytes"] > 0
        assert str(uuid.UUID(output["id"])) == output["id"]
    if job["progress"] is not None:
        assert job["progress"].keys() == PROGRESS
        assert 0 <= job["progress"]["value"] <= 1


def shown(http: httpx.Client, job_id: str, status: str) -> dict[str, Any]:
    """The job as soon as it has that status."""
    for _ in range(600):
        job: dict[str, Any] = http.get(f"/api/v2/jobs/{job_id}").json()
        if job["status"] == status:
            return job
        time.sleep(0.05)
    pytest.fail(f"{job_id} is not {status}")


@pytest.mark.parametrize(
    ("workflow", "status"),
    [(graphs.quick(), "succeeded"), (graphs.failing(), "failed"), (graphs.slow(100), "running")],
)
def test_a_job_says_all_that_clients_require(
    http: httpx.Client, atelier: Installation, workflow: Workflow, status: str
) -> None:
    accepted = http.post("/api/v2/jobs", json={"workflow": workflow.json})

    job = shown(http, accepted.json()["id"], status)
    listed = [one for one in http.get("/api/v2/jobs").json()["jobs"] if one["id"] == job["id"]]

    assert accepted.status_code == 201
    assert accepted.json()["status"] == "queued"
    judge(accepted.json(), atelier.url)
    judge(job, atelier.url)
    judge(listed[0], atelier.url)
    assert {"create_time", "update_time"} <= listed[0].keys()
    assert (job["completed_at"] is None) == (status == "running")
    assert (job["error"] is not None) == (status == "failed")
    assert job["started_at"] is not None
    http.post(job["urls"]["cancel"])


def test_a_waiting_job_knows_its_place_and_a_canceled_one_has_none(http: httpx.Client) -> None:
    busy = [http.post("/api/v2/jobs", json={"workflow": graphs.endless().json}).json()["id"] for _ in range(2)]
    for job_id in busy:
        shown(http, job_id, "running")
    waiting = [http.post("/api/v2/jobs", json={"workflow": graphs.endless().json}).json()["id"] for _ in range(6)]

    places = [http.get(f"/api/v2/jobs/{job_id}").json()["queue_position"] for job_id in waiting]
    canceled = [http.post(f"/api/v2/jobs/{job_id}/cancel").json() for job_id in (*waiting, *busy)]

    assert all(isinstance(place, int) for place in places)
    assert places == sorted(places)
    assert {job["status"] for job in canceled} <= {"canceled", "canceling"}
    assert {job["queue_position"] for job in canceled} == {None}
    for job_id in (*waiting, *busy):
        shown(http, job_id, "canceled")


def test_an_asset_says_all_that_clients_require(http: httpx.Client, comfy: Comfy, atelier: Installation) -> None:
    asset = comfy.assets.from_bytes(graphs.png((9, 9, 9)), filename="grey.png")
    asset.commit()

    found = http.get(f"/api/v2/assets/{asset.id}").json()

    assert found.keys() >= ASSET
    assert found["url"].startswith(atelier.url)
    assert urlsplit(found["url"]).path == f"/files/{asset.id}"
    assert all(moment.endswith("Z") for moment in times(found))


def test_answers_name_the_request_that_they_answer(http: httpx.Client) -> None:
    given = http.get("/api/v2/jobs/x", headers={"X-Request-Id": "mine-1"})
    made = http.get("/api/v2/jobs/x")

    assert given.headers["x-comfy-request-id"] == "mine-1"
    assert made.headers["x-comfy-request-id"]
