"""PostgreSQL dies in mid-run and comes back: the leases are renewed as they were, and every job ends once."""

import asyncio
from pathlib import Path

import pytest

from atelier.entry.state import SCHEMA
from atelier.kit.migrations import migrate
from atelier.kit.postgres import EmbeddedPostgres
from atelier.simulator.config import SimulatorConfig
from support.fleet import ground_on, sampled, simulator
from support.postgres import opened
from support.postgres_users import Site
from support.promises import assert_nothing_drawn_twice, assert_promises, rows
from tools.chaos.processes import Fleet, processes

from .conftest import SETTINGS

JOBS = 8


async def crash_and_return(site: Site) -> None:
    await site.crash()
    await asyncio.sleep(0.5)
    again = await EmbeddedPostgres.start(site.folder)
    await again.leave()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("hold", ["20", "1"], ids=["servers are kept meanwhile", "servers are let go meanwhile"])
async def test_postgresql_is_killed_in_mid_run(site: Site, tmp_path: Path, hold: str) -> None:
    server = await EmbeddedPostgres.start(site.folder)
    async with (
        opened(server.url) as database,
        simulator(SimulatorConfig(control=True, step_seconds=0.03)) as url,
        processes(tmp_path, server.url, SETTINGS | {"lease_hold": hold, "lease_expiry": "25"}) as fleet,
    ):
        await migrate(database, SCHEMA)
        async with ground_on(database, tmp_path / "files") as ground:
            await ground.add_server(url, "sim-1")
            await start(fleet)
            await ground.known(1)
            for seed in range(JOBS):
                await ground.submit(sampled(seed, steps=15))
            fences = await rows(database, "SELECT server_id, fence FROM leases")

            await asyncio.sleep(1.0)
            await crash_and_return(site)
            for (job_id,) in await rows(database, "SELECT id FROM jobs"):
                await ground.ended(job_id)

            await assert_promises(database, JOBS)
            await assert_nothing_drawn_twice(ground.http, url)
            assert await rows(database, "SELECT server_id, fence FROM leases") == fences
    await server.leave()


async def start(fleet: Fleet) -> None:
    await fleet.start("dispatcher", "dispatch")
    await fleet.line("dispatcher")
