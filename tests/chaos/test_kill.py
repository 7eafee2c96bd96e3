"""kill -9 of any process: every accepted job ends exactly once, with its outputs, and is captured at most once."""

import asyncio
import uuid

import aiohttp
import pytest

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.kit.database import Database
from support.fleet import sampled
from support.processes import Api
from support.promises import assert_nothing_drawn_twice, assert_promises, rows
from tools.chaos.processes import Fleet, free_port

JOBS = 50


async def key_of(database: Database) -> str:
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


@pytest.mark.timeout(240)
async def test_fifty_jobs_survive_kills_of_every_process(database: Database, fleet: Fleet) -> None:
    key = await key_of(database)
    async with aiohttp.ClientSession() as http:
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

        await assert_promises(database, JOBS)
        await assert_nothing_drawn_twice(http, fleet.urls["sim-2"])
        for (job_id,) in await rows(database, "SELECT id FROM jobs"):
            shown = await api.get(f"/api/v2/jobs/{job_id}")
            async with http.get(shown["outputs"][0]["url"]) as reply:
                assert (await reply.read())[:4] == b"\x89PNG"
