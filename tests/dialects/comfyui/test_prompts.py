import base64
import json
import uuid
from typing import Any

import httpx
import pytest

from atelier.dialects.app import create_app
from atelier.dialects.services import Services
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Origin
from atelier.fleet.store import catalogs, roster
from atelier.kit.ids import ServerId, new_uuid
from support.comfy_recordings import FOLDER, object_info
from support.graphs import picture
from support.prompts import history, job_id, prompt, queue
from support.serving import Tenant, served
from support.stage import Stage

BROKEN = {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}
"""A SaveImage that lacks its prefix."""


@pytest.fixture
async def fleet(services: Services) -> None:
    """One server with all nodes of ComfyUI 0.3.64, and no model file."""
    server = ServerId("known")
    async with services.database.transaction() as tx:
        await roster.put(tx, server, "http://127.0.0.1:2", {}, Origin.ADDED)
        await catalogs.save_inventory(tx, server, from_object_info(object_info()), {})
    await services.intake.fleet.refresh()


async def refused(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """What is wrong, and nothing waits."""
    answer = await client.post("/prompt", json=body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error", "node_errors"}
    assert set(answer.json()["error"]) == {"type", "message", "details", "extra_info"}
    assert await queue(client) == ([], [])
    told: dict[str, Any] = answer.json()
    return told


async def test_an_accepted_prompt_is_told_its_id_and_its_number(client: httpx.AsyncClient) -> None:
    first, second = await prompt(client), await prompt(client)

    assert first.keys() == {"prompt_id", "number", "node_errors"}
    assert first["node_errors"] == {}
    assert isinstance(first["number"], int)
    assert second["number"] > first["number"]
    assert (await queue(client))[1] == [first["prompt_id"], second["prompt_id"]]


async def test_both_paths_and_any_content_type_are_one(client: httpx.AsyncClient) -> None:
    body = json.dumps({"prompt": picture()}).encode()

    for path in ("/prompt", "/api/prompt"):
        for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
            answer = await client.post(path, content=body, headers={"Content-Type": content_type})
            assert answer.status_code == 200, answer.text


async def test_numbers_are_told_as_they_are_kept(client: httpx.AsyncClient) -> None:
    given = [await prompt(client, number=number) for number in (-1000, 0.5)]
    front = await prompt(client, front=True)

    assert [one["number"] for one in given] == [-1000, 0.5]
    assert front["number"] < 0
    shown = (await client.get("/queue")).json()["queue_pending"]
    assert {item[1]: item[0] for item in shown} == {one["prompt_id"]: one["number"] for one in (*given, front)}


async def test_an_id_of_ones_own_is_echoed_and_found_everywhere(client: httpx.AsyncClient, stage: Stage) -> None:
    own = str(new_uuid())

    accepted = await prompt(client, prompt_id=own)

    assert accepted["prompt_id"] == own
    assert await queue(client) == ([], [own])
    [job] = (await client.get("/api/jobs")).json()["jobs"]
    assert job["id"] == own
    [v1] = (await client.get("/api/v1/jobs")).json()["jobs"]
    await stage.succeed(await stage.start(job_id(v1["id"])))
    assert list(await history(client)) == [own]
    assert own in (await client.get(f"/history/{own}")).json()


async def test_an_id_that_was_used_before_is_refused(client: httpx.AsyncClient, stage: Stage) -> None:
    own = str(new_uuid())
    await prompt(client, prompt_id=own)

    doubled = await client.post("/prompt", json={"prompt": picture(), "prompt_id": own})

    assert doubled.status_code == 400
    assert doubled.json()["error"]["type"] == "duplicate_prompt_id"
    assert doubled.json()["node_errors"] == {}
    assert await queue(client) == ([], [own])


async def test_accounts_do_not_share_ids(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    own = str(new_uuid())

    await prompt(client, prompt_id=own)
    await prompt(other, prompt_id=own)
    await other.post("/queue", json={"delete": [own]})

    assert await queue(client) == ([], [own])
    assert await queue(other) == ([], [])


_HARMFUL: list[tuple[dict[str, Any], str]] = [
    ({}, "no_prompt"),
    ({"prompt": picture(), "prompt_id": "my-own-id"}, "invalid_prompt_id"),
    ({"prompt": picture(), "client_id": []}, "invalid_client_id"),
    ({"prompt": picture(), "client_id": {}}, "invalid_client_id"),
    ({"prompt": picture(), "extra_data": []}, "invalid_extra_data"),
    ({"prompt": picture(), "number": "abc"}, "invalid_number"),
    ({"prompt": picture(), "partial_execution_targets": "2"}, "invalid_partial_execution_targets"),
    ({"prompt": picture(), "partial_execution_targets": []}, "prompt_no_outputs"),
    ({"prompt": {}}, "prompt_no_outputs"),
]


async def test_what_would_harm_a_server_is_refused_in_its_own_words(client: httpx.AsyncClient) -> None:
    for body, kind in _HARMFUL:
        assert (await refused(client, **body))["error"]["type"] == kind


async def test_a_body_that_is_no_json_is_refused_in_the_same_shape(client: httpx.AsyncClient) -> None:
    for body in (b"", b"{", b"\xff\xfe", b'{"prompt": NaN}'):
        answer = await client.post("/prompt", content=body)

        assert answer.status_code == 400
        assert set(answer.json()) == {"error", "node_errors"}


async def test_null_members_are_as_good_as_none(client: httpx.AsyncClient) -> None:
    accepted = await prompt(client, extra_data=None, client_id=None, prompt_id=None, number=None)

    assert str(uuid.UUID(accepted["prompt_id"])) == accepted["prompt_id"]
    assert isinstance(accepted["number"], int)


async def test_a_body_over_the_limit_is_413_and_not_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/prompt", content=b'{"prompt": "' + b"x" * 300_000 + b'"}')

    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "payload_too_large"


async def test_a_full_queue_is_told_with_when_to_come_again(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        await prompt(client)

    answer = await client.post("/prompt", json={"prompt": picture()})

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["type"] == "queue_full"
    assert answer.json()["node_errors"] == {}


async def test_nobody_without_a_key_is_told_so_in_the_same_shape(nobody: httpx.AsyncClient) -> None:
    for answer in (
        await nobody.post("/prompt", json={"prompt": picture()}),
        await nobody.get("/queue"),
        await nobody.get("/api/jobs"),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "unauthorized"


async def test_a_database_that_is_away_is_503_and_says_when_to_come_again(
    services: Services, tenant: Tenant
) -> None:
    async with (
        served(create_app(services)) as base,
        httpx.AsyncClient(base_url=base, headers=tenant.headers) as asker,
    ):
        await prompt(asker)
        await services.database.close()
        answer = await asker.post("/prompt", json={"prompt": picture()})
        services.closing.set()

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["type"] == "unavailable"


# With a known fleet ----------------------------------------------------------------------------


@pytest.mark.usefixtures("fleet")
async def test_only_good_outputs_run_and_the_answer_says_what_is_wrong_with_others(
    client: httpx.AsyncClient,
) -> None:
    accepted = await prompt(client, prompt=picture() | {"9": BROKEN})

    assert list(accepted["node_errors"]) == ["9"]
    assert accepted["node_errors"]["9"]["dependent_outputs"] == ["9"]
    [item] = (await client.get("/queue")).json()["queue_pending"]
    assert item[2] == picture() | {"9": BROKEN}
    assert item[4] == ["2"]


@pytest.mark.usefixtures("fleet")
async def test_targets_are_the_outputs_that_it_is_run_for(client: httpx.AsyncClient) -> None:
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}

    await prompt(client, prompt=picture() | {"3": preview}, partial_execution_targets=["3"])

    [item] = (await client.get("/queue")).json()["queue_pending"]
    assert item[4] == ["3"]


_NEWER = {"invalid_prompt": "missing_node_type"}
"""What servers of 2026 call it; they also name the nodes of a cycle."""


_LEFT_OUT = (b'{"prompt": []}', b"nope.png", b"NaN")
"""A list of no nodes, a file that an operator may have put on the servers, no JSON: see docs/native-api.md."""


def _recorded() -> list[tuple[int, bytes, int, Any]]:
    """Every other POST /prompt of the recording, and what 0.3.64 answered."""
    events = json.loads((FOLDER / "d_validation.json").read_text())["events"]
    asked = [event for event in events if event["kind"] == "http" and event["path"] == "/prompt"]
    pairs = zip(asked[::2], asked[1::2], strict=False)
    return [
        (number, _bytes(request["body"]), answer["status"], answer["body"])
        for number, (request, answer) in enumerate(pairs)
        if request["method"] == "POST" and not any(one in _bytes(request["body"]) for one in _LEFT_OUT)
    ]


def _bytes(body: Any) -> bytes:
    match body:
        case {"b64": str(encoded)}:
            return base64.b64decode(encoded)
        case str():
            return body.encode()
        case _:
            return json.dumps(body).encode()


@pytest.mark.usefixtures("fleet")
async def test_what_a_server_says_of_a_prompt_is_said_here(client: httpx.AsyncClient) -> None:
    """Where it answered 500 and a text, the answer is 400 in its own shape (docs/native-api.md)."""
    for number, body, status, said in _recorded():
        answer = await client.post("/prompt", content=body)
        await client.post("/queue", json={"clear": True})

        assert answer.status_code == (400 if status == 500 else status), (number, body, answer.text)
        if isinstance(said, dict) and "error" in said:
            kind, faults = _outline(said)
            told, found = _outline(answer.json())
            assert told in {kind, _NEWER.get(kind)}, (number, body)
            named = {node: fault for node, fault in found.items() if fault[0] != ["dependency_cycle"]}
            assert named == faults, (number, body)


def _outline(said: dict[str, Any]) -> Any:
    """What is stable over versions: nodes, their faults, and how many there are."""
    faults = {
        node: (sorted(fault["type"] for fault in entry["errors"]), entry["class_type"], entry["dependent_outputs"])
        for node, entry in said["node_errors"].items()
    }
    return said["error"]["type"], faults


async def test_paths_and_methods_that_are_none_are_told_as_aiohttp_tells_them(client: httpx.AsyncClient) -> None:
    """As 0.3.64 answers (recording j_http_surface); GET /interrupt is 404 there, for its files are at `/`."""

    async def told(method: str, path: str) -> tuple[int, str]:
        answer = await client.request(method, path)
        return answer.status_code, answer.text

    assert await told("PUT", "/prompt") == (405, "405: Method Not Allowed")
    assert await told("DELETE", "/api/queue") == (405, "405: Method Not Allowed")
    assert await told("GET", "/no-such-path") == (404, "404: Not Found")
    assert (await told("GET", "/prompt/"))[0] == 404
    assert await told("OPTIONS", "/prompt") == (200, "")
    assert await told("HEAD", "/queue") == (200, "")
