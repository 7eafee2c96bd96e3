"""kill -9 of any process: every accepted job ends exactly once, with its outputs, and is captured at most once."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.kit.database import Database
from support.fleet import sampled
from support.processes import Api, Fleet, free_port, processes

JOBS = 50
SETTINGS = {
    "lease_heartbeat": "0.5",
    "lease_hold": "1",
    "lease_expiry": "1.5",
    "lost_server_after": "2",
    "drain": "1",
}


async def _key(database: Database) -> str:
    async with database.transaction() as tx:
        account = await accounts.create_account(tx, "chaos")
        _, plaintext = await accounts.create_key(tx, b"pepper of a test", account.id, Role.MEMBER, "chaos")
    return plaintext


async def _start(fleet: Fleet) -> str:
    urls = [await fleet.simulator(f"sim-{number}", step_seconds=0.02) for number in (1, 2)]
    await fleet.start("dispatcher", "dispatch", "--comfyui", ",".join(urls))
    await fleet.line("dispatcher")
    port = free_port()
    await fleet.start("api", "serve", "--port", str(port))
    await fleet.line("api")
    return f"http://127.0.0.1:{port}"


async def _ended(database: Database, count: int) -> None:
    async with asyncio.timeout(90):
        while True:
            async with database.transaction() as tx:
                rows = await tx.execute("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL")
                row = await rows.fetchone()
            if row and row[0] >= count:
                return
            await asyncio.sleep(0.2)


async def _rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        return await (await tx.execute(query)).fetchall()


@pytest.mark.timeout(240)
async def test_fifty_jobs_survive_kills_of_every_process(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    key = await _key(database)
    async with processes(tmp_path, database_url, SETTINGS) as fleet, aiohttp.ClientSession() as http:
        api = Api(await _start(fleet), key, http)

        async def submit_all() -> None:
            for number in range(JOBS):
                await api.submit(sampled(seed=number, steps=6), str(uuid.uuid4()))
                await asyncio.sleep(0.02)

        async def kill_all() -> None:
            for name in ("dispatcher", "api", "sim-1", "dispatcher"):
                await asyncio.sleep(1.0)
                await fleet.kill(name)
                await fleet.again(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(submit_all())
            group.create_task(kill_all())
        await _ended(database, JOBS)

        accepted = await _rows(database, "SELECT id, state, event_seq FROM jobs")
        assert len(accepted) == JOBS
        assert {state for _, state, _ in accepted} == {"succeeded"}
        ends = await _rows(database, "SELECT job_id, count(*) FROM job_events WHERE terminal GROUP BY job_id")
        assert sorted(count for _, count in ends) == [1] * JOBS
        holds = await _rows(database, "SELECT state, count(*) FROM holds GROUP BY state")
        assert holds == [("captured", JOBS)]
        outputs = await _rows(database, "SELECT job_id, count(*) FROM outputs GROUP BY job_id")
        assert sorted(count for _, count in outputs) == [1] * JOBS
        assert await _rows(database, "SELECT 1 FROM attempts WHERE state <> 'ended'") == []
        async with http.get(f"{fleet.urls['sim-2']}/control/state") as reply:
            ran = (await reply.json())["executions"]
        assert set(ran.values()) == {1}, "a server that lived rendered a picture twice"
        for job_id, _, _ in accepted:
            shown = await api.get(f"/api/v2/jobs/{job_id}")
            async with http.get(shown["outputs"][0]["url"]) as reply:
                assert (await reply.read())[:4] == b"\x89PNG"
