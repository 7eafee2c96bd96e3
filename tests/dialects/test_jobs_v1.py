"""Our own view of jobs: why and how, again, sooner; foreign jobs are not found, and admins see all."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.dialects.services import Services
from atelier.jobs import details, service
from atelier.jobs.model import Cause
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, JobId
from support.graphs import picture, with_asset
from support.serving import Tenant, make_tenant
from support.stage import Stage

PATH = "/api/v1/jobs"
NOWHERE = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def admin(base: str, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    tenant = await make_tenant(database, "operator", Role.ADMIN)
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


async def submitted(client: httpx.AsyncClient, **more: Any) -> str:
    answer = await client.post("/api/v2/jobs", json={"workflow": picture()} | more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def job_id(text: str) -> JobId:
    return JobId(uuid.UUID(text))


async def canceled(client: httpx.AsyncClient, **more: Any) -> str:
    job = await submitted(client, **more)
    assert (await client.post(f"{PATH}/{job}/cancel")).json()["state"] == "canceled"
    return job


async def test_a_waiting_job_says_its_place_and_why_it_waits(client: httpx.AsyncClient) -> None:
    await submitted(client)
    second = await submitted(client, metadata={"album": "red"})

    shown = (await client.get(f"{PATH}/{second}")).json()

    assert (shown["state"], shown["position"], shown["place"], shown["dialect"]) == ("queued", 1, "1", "comfy_v2")
    assert (shown["account"], shown["metadata"], shown["priority"]) == ("tenant", {"album": "red"}, 5)
    assert shown["reason"]
    assert shown["attempts"] == []


async def test_attempts_are_shown_with_what_they_left_behind(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submitted(client)
    await stage.lose(await stage.start(job_id(job)))

    shown = (await client.get(f"{PATH}/{job}")).json()

    [attempt] = shown["attempts"]
    assert (attempt["number"], attempt["server"], attempt["outcome"]) == (1, "stage", "lost")
    assert attempt["evidence"]["cause"] == "server_lost"
    assert attempt["ran_seconds"] >= 0
    assert shown["tries"] == 1


async def test_where_servers_are_is_told_to_admins_alone(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stage: Stage
) -> None:
    job = await submitted(client)
    claim = await stage.start(job_id(job))
    said = {
        "error": "Cannot connect to host 10.0.0.5:8188 (http://gpu.lan:8188/prompt)",
        "rounds": [1, "gpu.lan:80"],
    }
    async with stage.database.transaction() as tx:
        await service.finish_retriable(tx, claim, Cause.SERVER_LOST, was_running=True, evidence=said)

    member, full = await client.get(f"{PATH}/{job}"), await admin.get(f"{PATH}/{job}")

    assert "10.0.0.5" in full.text
    assert "Cannot connect to host (address)" in member.text
    assert not any(word in member.text for word in ("10.0.0.5", "gpu.lan", "8188"))


async def test_outputs_and_errors_of_ended_jobs_are_shown(client: httpx.AsyncClient, stage: Stage) -> None:
    good, bad = await submitted(client), await submitted(client)
    await stage.succeed(await stage.start(job_id(good)))
    await stage.fail(await stage.start(job_id(bad)))

    succeeded, failed = [(await client.get(f"{PATH}/{job}")).json() for job in (good, bad)]

    [output] = succeeded["outputs"]
    assert (await client.get(output["url"])).content == b"picture"
    assert (failed["error"]["code"], failed["reason"]) == ("node_execution_error", "boom")


async def test_a_foreign_job_is_not_found(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    job = await canceled(client)
    asked = (("GET", ""), ("PATCH", ""), ("POST", "/cancel"), ("POST", "/retry"))

    for name in (job, NOWHERE, "x", "%00"):
        for method, path in asked:
            answer = await other.request(method, f"{PATH}/{name}{path}", json={"priority": 5})

            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (method, path)


async def test_an_admin_sees_everybodys_jobs(
    client: httpx.AsyncClient, other: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    mine, theirs = await submitted(client), await submitted(other)

    first = (await admin.get(PATH, params={"account": "all", "limit": 1})).json()
    second = (await admin.get(PATH, params={"account": "all", "cursor": first["next_cursor"]})).json()
    shown = await admin.get(f"{PATH}/{theirs}")
    ended = await admin.post(f"{PATH}/{theirs}/cancel")

    assert [job["id"] for job in (*first["jobs"], *second["jobs"])] == [theirs, mine]
    assert [job["account"] for job in (*first["jobs"], *second["jobs"])] == ["stranger", "tenant"]
    assert second["next_cursor"] is None
    assert (shown.json()["account"], ended.json()["state"]) == ("stranger", "canceled")
    assert (await admin.get(PATH)).json()["jobs"] == []
    assert (await client.get(PATH, params={"account": "all"})).status_code == 403


async def test_jobs_are_listed_by_state_over_pages(client: httpx.AsyncClient) -> None:
    gone = await canceled(client)
    waiting = [await submitted(client) for _ in range(3)]

    ended = (await client.get(PATH, params={"state": "canceled,failed"})).json()
    first = (await client.get(PATH, params={"state": "queued", "limit": 2})).json()
    second = (await client.get(PATH, params={"state": "queued", "cursor": first["next_cursor"]})).json()

    assert [job["id"] for job in ended["jobs"]] == [gone]
    assert [job["id"] for job in (*first["jobs"], *second["jobs"])] == waiting[::-1]


@pytest.mark.parametrize(
    "query", [{"state": "done"}, {"state": ""}, {"limit": "0"}, {"limit": "x"}, {"account": "x"}, {"cursor": "-"}]
)
async def test_a_list_that_cannot_be_is_refused(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    answer = await client.get(PATH, params=query)

    assert answer.status_code == 400


async def test_a_retry_is_a_new_job_of_the_same_graph_and_labels(client: httpx.AsyncClient) -> None:
    old = await canceled(client, metadata={"album": "red"})

    answer = await client.post(f"{PATH}/{old}/retry")

    new = answer.json()
    assert answer.status_code == 201
    assert (new["retry_of"], new["state"], new["metadata"]) == (old, "queued", {"album": "red"})
    assert answer.headers["location"].endswith(f"{PATH}/{new['id']}")
    assert (await client.get(f"/api/v2/jobs/{new['id']}/workflow")).json()["workflow"] == picture()
    assert (await client.get(f"{PATH}/{old}")).json()["state"] == "canceled"


async def test_a_job_that_has_not_ended_is_not_tried_again(client: httpx.AsyncClient) -> None:
    job = await submitted(client)

    answer = await client.post(f"{PATH}/{job}/retry")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_not_ended")


async def test_a_retry_with_a_key_is_made_once(client: httpx.AsyncClient) -> None:
    job = await canceled(client)

    first, second = [await client.post(f"{PATH}/{job}/retry", headers={"Idempotency-Key": "a"}) for _ in range(2)]
    bad = await client.post(f"{PATH}/{job}/retry", headers={"Idempotency-Key": ""})

    assert (first.status_code, second.status_code, bad.status_code) == (201, 422, 400)
    assert second.json()["error"]["code"] == "idempotency_key_reuse"


async def test_a_retry_whose_inputs_are_gone_is_refused_and_says_which(client: httpx.AsyncClient) -> None:
    asset = (await client.post("/api/v2/assets", files={"file": ("a.png", b"x")})).json()["id"]
    job = await canceled(client, workflow=with_asset(asset))
    assert (await client.delete(f"/api/v2/assets/{asset}")).status_code == 204

    answer = await client.post(f"{PATH}/{job}/retry")

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "missing_asset")
    assert asset in answer.text


async def test_a_retry_waits_for_room_in_the_queue_like_any_job(client: httpx.AsyncClient) -> None:
    job = await canceled(client)
    while (await client.post("/api/v2/jobs", json={"workflow": picture()})).status_code == 201:
        pass

    answer = await client.post(f"{PATH}/{job}/retry")

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1


async def test_an_admins_retry_belongs_to_the_jobs_account(
    client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    job = await canceled(client)

    new = (await admin.post(f"{PATH}/{job}/retry")).json()

    assert new["account"] == "tenant"
    assert (await client.get(f"{PATH}/{new['id']}")).status_code == 200


async def test_a_waiting_jobs_priority_reaches_as_far_as_the_key(
    client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    job = await submitted(client)

    lower = (await client.patch(f"{PATH}/{job}", json={"priority": 2})).json()
    higher = (await client.patch(f"{PATH}/{job}", json={"priority": 9})).json()
    raised = (await admin.patch(f"{PATH}/{job}", json={"priority": 9})).json()

    assert (lower["priority"], lower["wished_priority"]) == (2, None)
    assert (higher["priority"], higher["wished_priority"]) == (5, 9)
    assert (raised["priority"], raised["wished_priority"]) == (9, None)


async def test_the_priority_of_a_job_that_does_not_wait_is_settled(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    job = await submitted(client)
    await stage.start(job_id(job))

    answer = await client.patch(f"{PATH}/{job}", json={"priority": 2})
    bad = [await client.patch(f"{PATH}/{job}", json=body) for body in ({}, {"priority": 11}, {"priority": "5"})]

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_not_waiting")
    assert [one.status_code for one in bad] == [400] * 3


async def test_a_job_of_nobody_is_not_found_by_an_admin(admin: httpx.AsyncClient) -> None:
    assert (await admin.get(f"{PATH}/{NOWHERE}")).status_code == 404


def test_addresses_are_taken_out_of_whatever_holds_them() -> None:
    said = ["http://u:p@gpu:1/x refused", {"at": "[::1]:8188", "n": 3}, None, "node 5:12 at 12:30 is fine"]

    told = details.without_addresses(said)

    assert told[0] == "(address) refused"
    assert told[1] == {"at": "(address)", "n": 3}
    assert told[2] is None


async def test_the_account_is_part_of_the_question(services: Services, tenant: Tenant) -> None:
    async with services.database.transaction() as tx:
        with pytest.raises(service.JobNotFound):
            await details.whole(tx, AccountId(tenant.account_id), JobId(uuid.UUID(NOWHERE)))


async def named(stage: Stage, job: str, **columns: Any) -> None:
    """What the registry writes with a job."""
    async with stage.database.transaction() as tx:
        for column, value in columns.items():
            await tx.execute(f"UPDATE jobs SET {column} = %s WHERE id = %s", (value, job))  # noqa: S608 - a test's own


async def test_jobs_are_listed_by_what_they_are_of(client: httpx.AsyncClient, stage: Stage) -> None:
    batch = str(uuid.uuid4())
    plain, sketched, batched, for_ana, labelled = [await submitted(client) for _ in range(4)] + [
        await submitted(client, metadata={"album": "red"})
    ]
    await named(stage, sketched, workflow="sketch")
    await named(stage, batched, workflow="sketch", batch_id=batch)
    await named(stage, for_ana, end_user="ana")

    async def listed(**query: str) -> list[str]:
        answer = await client.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["jobs"]]

    assert await listed(workflow="sketch") == [batched, sketched]
    assert await listed(batch=batch) == [batched]
    assert await listed(batch=batch, workflow="other") == []
    assert await listed(end_user="ana") == [for_ana]
    assert await listed(workflow="sketch", end_user="ana") == []
    assert await listed(**{"metadata[album]": "red"}) == [labelled]
    assert await listed(workflow="sketch", state="succeeded") == []
    assert plain in await listed()


async def test_jobs_are_listed_by_when_they_were_accepted(client: httpx.AsyncClient, stage: Stage) -> None:
    jobs = [await submitted(client) for _ in range(3)]
    times = [(await client.get(f"{PATH}/{job}")).json()["created_at"] for job in jobs]

    async def listed(**query: str) -> list[str]:
        return [job["id"] for job in (await client.get(PATH, params=query)).json()["jobs"]]

    assert await listed(since=times[1]) == [jobs[2], jobs[1]]
    assert await listed(until=times[1]) == [jobs[1], jobs[0]]
    assert await listed(since=times[1], until=times[1]) == [jobs[1]]
    assert await listed(since="2999-01-01T00:00:00Z") == []
    assert await listed(until="1999-01-01T00:00:00+02:00") == []
    assert await listed(since="0001-01-01T00:00:00+00:00") == jobs[::-1]


async def test_a_foreign_batch_is_empty(client: httpx.AsyncClient, other: httpx.AsyncClient, stage: Stage) -> None:
    batch = str(uuid.uuid4())
    await named(stage, await submitted(client), batch_id=batch)

    assert (await other.get(PATH, params={"batch": batch})).json()["jobs"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"batch": "x"},
        {"workflow": ""},
        {"end_user": "x" * 129},
        {"end_user": "\0"},
        {"since": "yesterday"},
        {"until": "2026-11-21T00:00:00"},
        {"metadata[]": "x"},
    ],
)
async def test_a_choice_that_cannot_be_is_refused(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert (await client.get(PATH, params=query)).status_code == 400


async def test_everybodys_jobs_are_chosen_by_state_alone(admin: httpx.AsyncClient) -> None:
    answer = await admin.get(PATH, params={"account": "all", "workflow": "sketch"})

    assert answer.status_code == 400
    assert "by state" in answer.json()["error"]["message"]


async def test_what_a_job_was_made_of_is_shown(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await submitted(client)
    await named(stage, job, workflow="sketch")
    async with stage.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO job_recipes (job_id, account_id, workflow_key, revision, version, params, seed)"
            ' SELECT id, account_id, 1, 3, \'1.2.0\', \'{"prompt": "a cat", "steps": 4}\', 17'
            " FROM jobs WHERE id = %s",
            (job,),
        )

    shown = (await client.get(f"{PATH}/{job}")).json()

    assert (shown["workflow_id"], shown["version"], shown["revision"]) == ("sketch", "1.2.0", 3)
    assert (shown["params"], shown["seed"], shown["cached"]) == ({"prompt": "a cat", "steps": 4}, 17, False)
