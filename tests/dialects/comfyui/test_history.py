from typing import Any

import httpx

from atelier.jobs.prompt import Report
from support.graphs import picture
from support.prompts import history, job_id, prompt, v2_job
from support.stage import Stage


async def done(client: httpx.AsyncClient, stage: Stage, **body: Any) -> str:
    accepted = await prompt(client, **body)
    await stage.succeed(await stage.start(job_id(accepted["prompt_id"])))
    return str(accepted["prompt_id"])


async def test_a_finished_prompt_has_an_entry_and_its_files_have_names_of_their_own(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    first, second = await done(client, stage, client_id="me"), await v2_job(client)
    await stage.succeed(await stage.start(job_id(second)))

    shown = await history(client)

    assert list(shown) == [first, second]
    number, prompt_id, graph, extra_data, targets = shown[first]["prompt"]
    assert (prompt_id, graph, extra_data["client_id"], targets) == (first, picture(), "me", ["2"])
    assert isinstance(number, int)
    assert shown[second]["prompt"][1:3] == [second, picture()]
    [item] = shown[second]["outputs"]["9"]["images"]
    assert item == {
        "filename": f"ComfyUI_{shown[second]['prompt'][0]:05}_.png",
        "subfolder": "",
        "type": "output",
    }
    for entry in shown.values():
        assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
        events = [event for event, _ in entry["status"]["messages"]]
        assert events == ["execution_start", "execution_cached", "execution_success"]
        assert all(data["prompt_id"] in shown for _, data in entry["status"]["messages"])
        assert all(isinstance(data["timestamp"], int) for _, data in entry["status"]["messages"])


async def test_one_entry_is_read_by_its_id_with_and_without_api(client: httpx.AsyncClient, stage: Stage) -> None:
    prompt_id = await done(client, stage)

    alone = (await client.get(f"/history/{prompt_id}")).json()

    assert alone == await history(client)
    assert (await client.get(f"/api/history/{prompt_id}")).json() == alone


async def test_what_has_not_ended_has_no_entry(client: httpx.AsyncClient, stage: Stage) -> None:
    waiting = (await prompt(client))["prompt_id"]
    running = (await prompt(client))["prompt_id"]
    await stage.start(job_id(running))

    for prompt_id in (waiting, running, "unknown-id", "0"):
        answer = await client.get(f"/history/{prompt_id}")
        assert (answer.status_code, answer.json()) == (200, {})
    assert await history(client) == {}


async def test_nobody_sees_anothers_history(
    client: httpx.AsyncClient, other: httpx.AsyncClient, stage: Stage
) -> None:
    prompt_id = await done(client, stage)

    await other.post("/history", json={"delete": [prompt_id]})
    await other.post("/history", json={"clear": True})

    assert (await other.get(f"/history/{prompt_id}")).json() == {}
    assert await history(other) == {}
    assert list(await history(client)) == [prompt_id]


async def test_a_failed_run_says_what_happened(client: httpx.AsyncClient, stage: Stage) -> None:
    failed = await v2_job(client)
    await stage.fail(await stage.start(job_id(failed)))

    entry = (await history(client))[failed]

    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    event, data = entry["status"]["messages"][-1]
    assert (event, data["node_id"], data["node_type"], data["exception_message"]) == (
        "execution_error",
        "3",
        "KSampler",
        "boom",
    )
    assert data["traceback"] == ["line 1\n", "line 2"]
    assert entry["outputs"] == {}


async def test_max_items_and_offset_are_those_of_a_server(client: httpx.AsyncClient, stage: Stage) -> None:
    """As 0.3.64 answers (measured): `max_items` alone are the last; with an offset at least one is shown."""
    first, second, third = [await done(client, stage) for _ in range(3)]

    assert list(await history(client, "?max_items=2")) == [second, third]
    assert list(await history(client, "?max_items=2&offset=0")) == [first, second]
    assert list(await history(client, "?max_items=2&offset=2")) == [third]
    assert list(await history(client, "?max_items=2&offset=-1")) == [second, third]
    assert list(await history(client, "?offset=1")) == [second, third]
    for query in ("?max_items=0", "?max_items=-1", "?offset=99999", f"?offset={'9' * 40}"):
        assert await history(client, query) == {}


async def test_a_bad_number_is_told_in_words(client: httpx.AsyncClient) -> None:
    for query in ("max_items=abc", "offset=", "max_items=1.5"):
        refused = await client.get(f"/history?{query}")

        assert refused.status_code == 400
        assert query.split("=")[0] in refused.json()["error"]["message"]


async def test_what_is_removed_from_the_history_stays_a_job(client: httpx.AsyncClient, stage: Stage) -> None:
    gone, stays = await done(client, stage), await done(client, stage)

    answer = await client.post("/history", json={"delete": [gone, "zzz"]})

    assert (answer.status_code, answer.content) == (200, b"")
    assert list(await history(client)) == [stays]
    assert (await client.get(f"/history/{gone}")).json() == {}
    assert (await client.get(f"/api/jobs/{gone}")).status_code == 404
    assert (await client.get(f"/api/v2/jobs/{gone}")).json()["status"] == "succeeded"


async def test_a_cleared_history_begins_anew(client: httpx.AsyncClient, stage: Stage) -> None:
    await done(client, stage)
    await client.post("/api/history", json={"clear": True})
    cleared = await history(client)
    later = await done(client, stage)

    assert cleared == {}
    assert list(await history(client)) == [later]


async def test_a_body_that_cannot_be_read_is_told_so(client: httpx.AsyncClient) -> None:
    for body in (b"{bad", b"", b"[]"):
        assert (await client.post("/history", content=body)).status_code == 400


async def test_what_a_server_told_of_a_run_is_the_history(client: httpx.AsyncClient, stage: Stage) -> None:
    prompt_id = (await prompt(client))["prompt_id"]
    when = {"prompt_id": prompt_id, "timestamp": 5}
    messages = (
        ("execution_start", when),
        ("execution_cached", {"nodes": ["1"], **when}),
        ("execution_success", {"prompt_id": prompt_id, "timestamp": 9}),
    )
    images = {"2": {"images": [{"filename": "x_00077_.png", "subfolder": "a", "type": "output", "own": 1}]}}
    meta = {"2": {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}}

    await stage.succeed(await stage.start(job_id(prompt_id)), report=Report(images, messages, meta))

    entry = (await history(client))[prompt_id]
    assert entry["outputs"] == images
    assert entry["meta"] == meta
    assert entry["status"]["messages"] == [list(message) for message in messages]
    [job] = (await client.get("/api/jobs")).json()["jobs"]
    assert (job["execution_start_time"], job["execution_end_time"]) == (5, 9)
    assert job["preview_output"]["own"] == 1
