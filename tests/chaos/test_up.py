"""`up` is stopped and started again in mid-run: it stops in time, and its jobs go on as if nothing had been."""

import asyncio
import signal
import uuid
from pathlib import Path

import aiohttp
import pytest

from atelier.kit.database import Database
from support.fleet import sampled
from support.processes import Api
from support.promises import assert_promises, eventually, rows
from tools.chaos.processes import Fleet, free_port, processes

from .conftest import SETTINGS


async def listen(http: aiohttp.ClientSession, api: Api, job_id: str) -> None:
    """Follow the job until the stream ends."""
    headers = {"Authorization": f"Bearer {api.key}"}
    async with http.get(f"{api.url}/api/v2/jobs/{job_id}/events", headers=headers) as reply:
        assert reply.status == 200
        async for _ in reply.content:
            pass


async def stop(fleet: Fleet) -> int:
    """SIGTERM, and gone within the ten seconds that are promised."""
    fleet.processes["up"].send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        return await fleet.processes["up"].wait()


@pytest.mark.timeout(120)
async def test_jobs_outlive_restarts_that_nobody_counts_against_them(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = SETTINGS | {"simulate": "1", "simulate_step": "0.05", "simulate_load": "0", "drain": "1"}
    key_file = tmp_path / "key"
    port = str(free_port())
    async with processes(tmp_path, database_url, settings) as fleet, aiohttp.ClientSession() as http:

        async def running() -> bool:
            return await rows(database, "SELECT 1 FROM jobs WHERE state = 'running'") != []

        async def ended() -> bool:
            return await rows(database, "SELECT 1 FROM jobs WHERE finished_at IS NULL") == []

        await fleet.start("up", "up", "--port", port, "--key-file", str(key_file))
        await fleet.line("up")
        api = Api(f"http://127.0.0.1:{port}", key_file.read_text().strip(), http)
        job_id = await api.submit(sampled(steps=100), str(uuid.uuid4()))
        assert job_id is not None

        codes: list[int] = []
        for _ in range(2):
            await eventually(running)
            async with asyncio.TaskGroup() as group:
                group.create_task(listen(http, api, job_id))
                await asyncio.sleep(0.2)
                codes.append(await stop(fleet))
            waits = await rows(database, "SELECT state, server_deaths, dispatcher_losses, tries FROM jobs")
            assert waits == [("queued", 0, 0, 0)]
            await fleet.again("up")

        await eventually(ended)
        await assert_promises(database, 1)
        assert codes == [0, 0]


@pytest.mark.timeout(120)
async def test_a_job_on_simulated_servers_is_not_blamed_when_up_is_killed_twice(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = SETTINGS | {"simulate": "1", "simulate_step": "0.05", "simulate_load": "0"}
    key_file = tmp_path / "key"
    port = str(free_port())
    async with processes(tmp_path, database_url, settings) as fleet, aiohttp.ClientSession() as http:

        async def first() -> bool:
            return await _runs(database, 1)

        async def second() -> bool:
            return await _runs(database, 2)

        async def ended() -> bool:
            return await rows(database, "SELECT 1 FROM jobs WHERE finished_at IS NULL") == []

        await fleet.start("up", "up", "--port", port, "--key-file", str(key_file))
        await fleet.line("up")
        api = Api(f"http://127.0.0.1:{port}", key_file.read_text().strip(), http)
        assert await api.submit(sampled(steps=100), str(uuid.uuid4())) is not None

        for runs in (first, second):
            await eventually(runs)
            await fleet.kill("up")
            await fleet.again("up")

        await eventually(ended)
        await assert_promises(database, 1)
        assert await rows(database, "SELECT state, server_deaths, tries FROM jobs") == [("succeeded", 0, 0)]


async def _runs(database: Database, number: int) -> bool:
    """Whether an attempt of this number runs."""
    return (number,) in await rows(database, "SELECT number FROM attempts WHERE state = 'running'")
