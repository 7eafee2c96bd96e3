"""What breaks behind the API, or on the way to it, never breaks a client that can only poll and listen."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from comfy_sdk import AsyncComfy, OutputReady, Progress, StatusChange

from atelier.kit.database import Database
from conformance import graphs
from conformance.apart import Apart, apart
from conformance.breaking_proxy import breaking_proxy
from conformance.installation import Installation

TERMINAL = {"succeeded", "failed", "canceled", "expired"}


@pytest.fixture
async def roles(database: Database, database_url: str, tmp_path: Path) -> AsyncGenerator[Apart]:
    async with apart(tmp_path, database, database_url) as started:
        yield started


@contextlib.asynccontextmanager
async def polling(roles: Apart, job_id: str) -> AsyncGenerator[list[tuple[int, str]]]:
    """Poll the job every 20 ms meanwhile; gives what each poll was answered."""
    answers: list[tuple[int, str]] = []

    async def poll() -> None:
        async with httpx.AsyncClient(base_url=roles.url, headers=roles.headers) as client:
            while True:
                answer = await client.get(f"/api/v2/jobs/{job_id}")
                answers.append((answer.status_code, answer.json().get("status", "")))
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(poll())
        yield answers
        task.cancel()


async def until_running(answers: list[tuple[int, str]]) -> None:
    async with asyncio.timeout(30):
        while not answers or answers[-1][1] != "running":  # noqa: ASYNC110 - another process says it
            await asyncio.sleep(0.02)


async def test_run_survives_the_death_of_everything_behind_the_api(
    roles: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", roles.url)
    async with AsyncComfy(api_key=roles.key) as comfy:
        job = await comfy.submit(graphs.slow(100))
        async with polling(roles, job.id) as answers, asyncio.TaskGroup() as group:
            result = group.create_task(job.result())
            for names in (["dispatcher"], ["sim-1", "sim-2"]):
                await until_running(answers)
                for name in names:
                    await roles.fleet.kill(name)
                await asyncio.sleep(0.3)
                for name in names:
                    await roles.fleet.again(name)
            async with asyncio.timeout(60):
                ended = await result
        body = await ended.outputs[0].to_bytes()

    assert ended.status == "succeeded"
    assert body.startswith(b"\x89PNG")
    assert {status for status, _ in answers} == {200}


async def test_with_nobody_behind_it_the_api_accepts_answers_cancels_and_lists(
    roles: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", roles.url)
    for name in ("dispatcher", "sim-1", "sim-2"):
        await roles.fleet.kill(name)

    async with AsyncComfy(api_key=roles.key) as comfy, asyncio.timeout(30):
        kept = await comfy.submit(graphs.quick())
        dropped = await comfy.submit(graphs.quick())
        await dropped.cancel()
        listed = [job.status async for job in comfy.list_jobs()]
        for name in ("sim-1", "dispatcher"):
            await roles.fleet.again(name)
        ended = await kept.result()

    assert listed == ["canceled", "queued"]
    assert (ended.status, dropped.status) == ("succeeded", "canceled")


async def test_a_stream_after_the_death_of_the_api_tells_the_outputs_and_the_end(roles: Apart) -> None:
    async with httpx.AsyncClient(base_url=roles.url, headers=roles.headers, timeout=30) as client:
        answer = await client.post("/api/v2/jobs", json={"workflow": graphs.slow(50).json})
        path = f"/api/v2/jobs/{answer.json()['id']}/events"
        async with client.stream("GET", path) as stream:
            events = _events(stream)
            while (await anext(events))[0] != "progress":
                pass
            await roles.fleet.kill("api")
            with contextlib.suppress(httpx.HTTPError):
                async for _ in events:
                    pass
        await roles.fleet.again("api")

        async with client.stream("GET", path) as stream:
            heard = [event async for event in _events(stream)]

    assert [name for name, _ in heard[-2:]] == ["output", "status"]
    assert heard[-1][1] == {"status": "succeeded"}


async def _events(stream: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_a_stream_that_is_torn_again_and_again_loses_nothing(
    atelier: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with breaking_proxy(atelier.url) as proxy:
        monkeypatch.setenv("COMFY_BASE_URL", proxy.url)
        async with AsyncComfy(api_key=atelier.key) as comfy, asyncio.timeout(60):
            job = await comfy.submit(graphs.slow(150))
            statuses, values, outputs = list[str](), list[float](), list[str]()
            async for event in job.events():
                match event:
                    case StatusChange(status=status):
                        statuses.append(status)
                    case Progress(value=value):
                        values.append(value)
                        if proxy.torn < 4:
                            proxy.tear()
                    case OutputReady(output=output):
                        outputs.append(output.id)
                    case _:
                        pass
            ended = await job.refresh()

    assert proxy.torn >= 4
    assert statuses[-1] == "succeeded"
    assert set(statuses) <= {"queued", "running", "succeeded"}
    assert values == sorted(values)
    assert outputs == [output.id for output in ended.outputs]
