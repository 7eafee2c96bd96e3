"""Nothing that a client sends makes the native API fail: it is answered, or refused in words."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from atelier.dialects.services import Services
from atelier.jobs.prompt import Report
from support.graphs import picture
from support.prompts import job_id, prompt, queue
from support.serving import Tenant
from support.stage import Stage

MANY = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(20_000)]

QUERIES = (
    "/history/%00",
    "/history/%ff",
    "/history/a%2Fb",
    f"/history/{'x' * 5_000}",
    f"/history?max_items={'9' * 30}",
    f"/history?max_items={'9' * 5_000}",
    f"/history?offset=-{'9' * 30}",
    f"/api/jobs?limit={'9' * 30}&offset={'9' * 30}",
    "/api/jobs?offset=1e5",
    "/api/jobs?workflow_id=%00",
    "/api/jobs?workflow_id=%ff",
    f"/api/jobs?workflow_id={'x' * 5_000}",
    "/api/jobs?status=%00",
    "/api/jobs?status=,",
    "/api/jobs/%00",
    "/api/jobs/cancel",
)

COMMANDS: tuple[tuple[str, Any], ...] = (
    ("/queue", {"delete": MANY}),
    ("/queue", {"delete": None}),
    ("/queue", {"delete": [[], {}, None, "\x00", "x" * 10_000]}),
    ("/history", {"delete": MANY}),
    ("/history", {"delete": {"a": 1}}),
    ("/history", {"clear": False, "delete": "x"}),
    ("/interrupt", {"prompt_id": {"a": 1}}),
    ("/interrupt", {"prompt_id": ["\x00"]}),
    ("/free", []),
    ("/free", {"unload_models": {"a": 1}}),
    ("/api/jobs/%ff/cancel", None),
    ("/api/jobs/%00/cancel", {}),
    ("/api/jobs/cancel", 5),
    ("/api/jobs/cancel", {"job_ids": [None, [], {}]}),
    ("/api/jobs/cancel", {"job_ids": MANY}),
)

PROMPTS: tuple[dict[str, Any], ...] = (
    {"extra_data": {"\x00": 1}},
    {"extra_data": {"a": "\ud800"}},
    {"extra_data": {"extra_pnginfo": [1]}},
    {"extra_data": {"extra_pnginfo": {"workflow": {"id": ["x"]}}, "a": 1e300, "b": -0.0}},
    {"client_id": "\ud7ff\u2028"},
    {"number": 1e308},
    {"number": 5e-324},
    {"number": 2**63},
    {"number": -0.0},
    {"prompt_id": "00000000-0000-0000-0000-000000000000"},
    {"front": [0]},
    {"partial_execution_targets": ["x"] * 20_000},
)


async def test_no_query_is_too_odd(client: httpx.AsyncClient) -> None:
    await prompt(client)

    answers = {query: (await client.get(query)).status_code for query in QUERIES}

    assert {query: status for query, status in answers.items() if status >= 500} == {}


async def test_no_command_is_too_odd(client: httpx.AsyncClient) -> None:
    kept = await prompt(client)

    answers = [(path, (await client.post(path, json=body)).status_code) for path, body in COMMANDS]

    assert [answer for answer in answers if answer[1] >= 500] == []
    assert await queue(client) == ([], [kept["prompt_id"]])


async def test_no_prompt_is_too_odd(client: httpx.AsyncClient) -> None:
    deep = b'{"prompt":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    answers = [(await client.post("/prompt", content=deep)).status_code]

    for body in PROMPTS:
        answers.append(
            (await client.post("/prompt", content=json.dumps({"prompt": picture(), **body}))).status_code
        )
        for path in ("/queue", "/api/jobs", "/history"):
            assert (await client.get(path)).status_code == 200
        await client.post("/queue", json={"clear": True})

    assert set(answers) <= {200, 400}


async def test_what_clients_wrote_is_read_together_up_to_a_bound(
    client: httpx.AsyncClient, services: Services
) -> None:
    first, second = [await prompt(client, client_id="me") for _ in range(2)]
    async with services.database.autocommit() as tx:
        await tx.execute("UPDATE native_prompts SET extra_data = json_build_object('x', repeat('y', 40000000))")

    answer = await client.get("/queue")

    shown = answer.json()["queue_pending"]
    assert [item[1] for item in shown] == [first["prompt_id"], second["prompt_id"]]
    assert [len(item[3].get("x", "")) for item in shown] == [40_000_000, 0]
    assert {item[3]["client_id"] for item in shown} == {"me"}
    assert len((await client.get(f"/api/jobs/{second['prompt_id']}")).content) > 40_000_000


async def test_what_runs_told_is_read_together_up_to_a_bound(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    accepted = [(await prompt(client))["prompt_id"] for _ in range(2)]
    for prompt_id in accepted:
        report = Report({"9": {"text": ["short"]}}, (), {})
        await stage.succeed(await stage.start(job_id(prompt_id)), report=report)
    async with services.database.autocommit() as tx:
        await tx.execute(
            "UPDATE native_reports SET outputs = json_build_object('9', json_build_object("
            "'text', json_build_array(repeat('y', 40000000))))"
        )

    listed = (await client.get("/api/jobs")).json()["jobs"]
    history = await client.get("/history")

    assert [job["preview_output"].get("mediaType") for job in listed] == ["text", "images"]
    assert list(history.json()) == accepted
    assert 40_000_000 < len(history.content) < 64_000_000


async def test_lists_that_nobody_reads_are_few(
    client: httpx.AsyncClient, other: httpx.AsyncClient, services: Services, base: str, tenant: Tenant
) -> None:
    await prompt(client)
    await prompt(other)
    async with services.database.autocommit() as tx:
        await tx.execute("UPDATE native_prompts SET extra_data = json_build_object('x', repeat('y', 12000000))")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(_unread(base, tenant, "/queue"))

        refused = await client.get("/queue")

        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "too_many_lists")
        assert (await client.get("/api/jobs")).status_code == 200
        assert len((await other.get("/queue")).content) > 12_000_000
    while (await client.get("/queue")).status_code == 429:  # noqa: ASYNC110 - the server sees it, and tells nobody
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _unread(base: str, tenant: Tenant, path: str) -> AsyncGenerator[None]:
    """An answer of which only the beginning is read."""
    url = httpx.URL(base)
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {tenant.key}\r\n\r\n".encode())
    try:
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        yield
    finally:
        writer.close()
