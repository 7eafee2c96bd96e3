"""What tests of servers' health share: quick settings, faults, and what was written down of a server."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from atelier.dispatch.dispatcher import Dispatcher
from atelier.fleet.model import Server
from atelier.fleet.store import roster
from atelier.kit.background import background
from atelier.kit.ids import JobId
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import serve
from support.fleet import QUICK, Ground

WARY = dataclasses.replace(
    QUICK,
    silent_after=0.3,
    wedged_after=0.6,
    stalled_after=0.6,
    stuck_after=0.8,
    probe_interval=1.0,
    probe_first=0.2,
    probe_most=0.4,
    probe_timeout=2.0,
)
"""What takes seconds in production takes parts of one."""

FINAL = dataclasses.replace(WARY, probe_first=600.0, probe_most=600.0)
"""Who is quarantined stays so until somebody asks for a probe."""

SLOW = SimulatorConfig(control=True, step_seconds=0.1)


async def fault(ground: Ground, url: str, **body: Any) -> None:
    async with ground.http.post(f"{url}/control/fault", json=body) as reply:
        assert reply.status == 200


async def stopped(dispatcher: Dispatcher, driving: asyncio.Task[None]) -> None:
    """It stops in order and hands its leases over; `driving` is the task in which it runs."""
    await dispatcher.drain(0.1)
    driving.cancel()
    await asyncio.wait([driving])
    await dispatcher.leave()


async def state(ground: Ground, url: str) -> dict[str, Any]:
    async with ground.http.get(f"{url}/control/state") as reply:
        shown: dict[str, Any] = await reply.json()
        return shown


async def server(ground: Ground, server_id: str) -> Server:
    async with ground.database.transaction() as tx:
        return next(one for one in await roster.servers(tx) if one.id == server_id)


async def until(ground: Ground, server_id: str, health: str, seconds: float = 30) -> Server:
    """The server once it is as wanted."""
    async with asyncio.timeout(seconds):
        while (seen := await server(ground, server_id)).health != health:  # noqa: ASYNC110 - another process may write it
            await asyncio.sleep(0.05)
    return seen


async def events(ground: Ground, server_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """What was written down of it, oldest first."""
    async with ground.database.transaction() as tx:
        rows = await tx.execute(
            "SELECT kind, data FROM server_events WHERE server_id = %s ORDER BY id", (server_id,)
        )
        return [(row[0], row[1]) for row in await rows.fetchall()]


async def kinds(ground: Ground, server_id: str) -> list[str]:
    return [kind for kind, _ in await events(ground, server_id)]


async def attempts(ground: Ground, job_id: JobId) -> list[tuple[str, str | None, Mapping[str, Any]]]:
    """Server, outcome and evidence of each try."""
    async with ground.database.transaction() as tx:
        rows = await tx.execute(
            "SELECT server_id, outcome, evidence FROM attempts WHERE job_id = %s ORDER BY number", (job_id,)
        )
        return [(row[0], row[1], row[2] or {}) for row in await rows.fetchall()]


async def ask_probe(ground: Ground, server_id: str) -> None:
    async with ground.database.transaction() as tx:
        await tx.execute("UPDATE servers SET probe_asked_at = clock_timestamp() WHERE id = %s", (server_id,))
    ground.wakeups.publish("fleet")


async def assert_one_end(ground: Ground, job_id: JobId) -> None:
    async with ground.database.transaction() as tx:
        rows = await tx.execute("SELECT seq, terminal FROM job_events WHERE job_id = %s ORDER BY seq", (job_id,))
        told = await rows.fetchall()
    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
    assert [terminal for _, terminal in told] == [False] * (len(told) - 1) + [True]


@contextlib.asynccontextmanager
async def simulator_at(port: int, config: SimulatorConfig = SLOW) -> AsyncGenerator[str]:
    """A simulated server on a port of ours: another one there is the same server, started anew."""
    address = asyncio.get_running_loop().create_future()
    async with background() as tasks:
        tasks.start(
            serve(config, "127.0.0.1", port, ready=lambda host, at: address.set_result(f"http://{host}:{at}"))
        )
        yield await address
