"""The roles as processes of their own, as in production, so that a test can kill one and keep the others."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no stubs

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.kit.database import Database
from tools.chaos.processes import Fleet, free_port, processes

SETTINGS = {
    "lease_heartbeat": "0.5",
    "lease_hold": "1",
    "lease_expiry": "1.5",
    "lost_server_after": "2",
    "drain": "1",
}


@dataclass(frozen=True, slots=True)
class Apart:
    """`fleet` has the process api, and where jobs can run dispatcher, sim-1 and sim-2."""

    url: str
    key: str
    fleet: Fleet

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def memory(self) -> int:
        """Bytes that the API process holds in memory."""
        return int(psutil.Process(self.fleet.processes["api"].pid).memory_info().rss)


@contextlib.asynccontextmanager
async def apart(folder: Path, database: Database, database_url: str, **settings: str) -> AsyncGenerator[Apart]:
    """Settings are written without ATELIER_."""
    key = await _key(database)
    port = free_port()
    async with processes(folder, database_url, SETTINGS | settings) as fleet:
        async with asyncio.TaskGroup() as group:
            sims = [group.create_task(fleet.simulator(name, step_seconds=0.02)) for name in ("sim-1", "sim-2")]
            group.create_task(serve(fleet, "api", port))
        await fleet.start("dispatcher", "dispatch", "--comfyui", ",".join(sim.result() for sim in sims))
        await fleet.line("dispatcher")
        yield Apart(f"http://127.0.0.1:{port}", key, fleet)


@contextlib.asynccontextmanager
async def api_alone(folder: Path, database: Database, database_url: str) -> AsyncGenerator[Apart]:
    """Nobody runs jobs."""
    key = await _key(database)
    async with processes(folder, database_url, SETTINGS) as fleet:
        yield Apart(await serve(fleet, "api", free_port()), key, fleet)


async def serve(fleet: Fleet, name: str, port: int) -> str:
    """One more API process. Gives its address."""
    await fleet.start(name, "serve", "--port", str(port))
    await fleet.line(name)
    return f"http://127.0.0.1:{port}"


async def _key(database: Database) -> str:
    async with database.transaction() as tx:
        account = await accounts.create_account(tx, "conformance")
        _, plaintext = await accounts.create_key(tx, b"pepper of a test", account.id, Role.MEMBER, "conformance")
    return plaintext
