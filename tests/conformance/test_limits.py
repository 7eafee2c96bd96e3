"""Backpressure is something that the SDKs can wait for, and two API processes are one to their clients."""

import asyncio
import contextlib
import shutil
import tempfile
import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import blake3
import httpx
import pytest
from comfy_low.transport import AsyncComfyLow
from comfy_sdk import AsyncComfy, IdempotencyKeyReuse, QueueFull

from atelier.kit.database import Database
from conformance import graphs
from conformance.apart import Apart, apart, serve
from conformance.installation import Installation, installation
from tools.chaos.processes import free_port


@pytest.fixture(scope="module")
def narrow() -> Generator[Installation]:
    """Two jobs may wait, and one stream may be open."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-limits-"))
    folder.chmod(0o755)
    try:
        with installation(folder, max_queued_per_account="2", max_streams_per_account="1") as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def client(narrow: Installation) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {narrow.key}"}
    async with httpx.AsyncClient(base_url=narrow.url, headers=headers, timeout=30) as made:
        yield made


@contextlib.asynccontextmanager
async def full(client: httpx.AsyncClient) -> AsyncGenerator[list[str]]:
    """Two jobs run and two wait, which is counted every second; gives their ids, and takes them all away."""
    made, refused = list[str](), 0
    try:
        async with asyncio.timeout(30):
            while refused < 4:
                answer = await client.post("/api/v2/jobs", json={"workflow": graphs.endless().json})
                if answer.status_code == 201:
                    made.append(answer.json()["id"])
                    refused = 0
                else:
                    refused += 1
                    await asyncio.sleep(0.4)
        yield made
    finally:
        for job_id in made:
            await client.post(f"/api/v2/jobs/{job_id}/cancel")


async def test_a_full_queue_is_waited_for(narrow: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", narrow.url)
    async with AsyncComfy(api_key=narrow.key) as comfy, asyncio.timeout(60), asyncio.TaskGroup() as group:
        runs = [group.create_task(comfy.run(graphs.quick(), timeout=60)) for _ in range(3)]

    assert [run.result().status for run in runs] == ["succeeded"] * 3


async def test_a_full_queue_says_when_to_come_back_and_gives_the_key_back(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    async with full(client):
        refused = await client.post("/api/v2/jobs", json={"workflow": graphs.quick().json}, headers=headers)

    accepted = await _until_room(client, {"workflow": graphs.quick().json}, headers)

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert accepted.status_code == 201


async def test_a_queue_that_stays_full_is_the_sdks_own_exception(
    narrow: Installation, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", narrow.url)
    monkeypatch.setattr("comfy_sdk.client._QUEUE_RETRY_BUDGET", 0.5)
    async with AsyncComfy(api_key=narrow.key) as comfy, full(client):
        with pytest.raises(QueueFull) as caught:
            await comfy.submit(graphs.quick())

    assert caught.value.http_status == 429
    assert caught.value.retry_after


async def test_one_stream_too_many_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    job = (await _until_room(client, {"workflow": graphs.endless().json}, {})).json()
    events = f"/api/v2/jobs/{job['id']}/events"
    async with client.stream("GET", events) as stream:
        await anext(stream.aiter_lines())

        refused = await client.get(events)

    await client.post(f"/api/v2/jobs/{job['id']}/cancel")
    again = await _until_free(client, events)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
    assert int(refused.headers["retry-after"]) >= 1
    assert again.text.rstrip().endswith('{"status":"canceled"}')


async def _until_room(client: httpx.AsyncClient, body: Any, headers: dict[str, str]) -> httpx.Response:
    """Waiting jobs are counted every second."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.post("/api/v2/jobs", json=body, headers=headers)
            if answer.status_code != 429:
                return answer
            await asyncio.sleep(0.1)


async def _until_free(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """The server hears within moments that a client has gone."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get(path)
            if answer.status_code != 429:
                return answer
            await asyncio.sleep(0.05)


@pytest.fixture
async def roles(database: Database, database_url: str, tmp_path: Path) -> AsyncGenerator[Apart]:
    async with apart(tmp_path, database, database_url) as started:
        yield started


async def test_two_api_processes_are_one_to_their_clients(roles: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    body, key = graphs.png((255, 0, 0)), uuid.uuid4().hex
    other = await serve(roles.fleet, "other", free_port())
    async with (
        _client(roles.url, roles.key, monkeypatch) as here,
        _client(other, roles.key, monkeypatch) as there,
        AsyncComfyLow(other, roles.key) as wire,
    ):
        asset = here.assets.from_bytes(body, filename="red.png")
        await asset.commit()
        known = await wire.head_asset_by_hash(f"blake3:{blake3.blake3(body).hexdigest()}")
        job = await here.submit(graphs.inverted(asset), idempotency_key=key)
        with pytest.raises(IdempotencyKeyReuse):
            await there.submit(graphs.quick(), idempotency_key=key)
        heard = [type(event).__name__ async for event in (await there.jobs.get(job.id)).events()]
        ended = await (await there.jobs.get(job.id)).result()
        made = await ended.outputs[0].to_bytes()

    assert known
    assert heard[-2:] == ["OutputReady", "StatusChange"]
    assert graphs.pixel(made) == (0, 255, 255)


def _client(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> AsyncComfy:
    monkeypatch.setenv("COMFY_BASE_URL", url)
    return AsyncComfy(api_key=key)
