"""A whole Atelier for this run alone: PostgreSQL, two API processes, a dispatcher, and servers behind proxies."""

import contextlib
import os
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.entry.settings import Settings
from atelier.entry.state import database
from atelier.kit.database import Database
from tools.bench import ground, processes
from tools.bench.processes import Started, role
from tools.chaos.fault_proxy import fault_proxy
from tools.load.plan import API_PROCESSES, SERVERS, Plan
from tools.load.weather import Weather


@dataclass(frozen=True, slots=True)
class Stage:
    """What users meet, and what is looked at afterwards. `product` are API processes and dispatcher by name."""

    apis: Sequence[str]
    keys: Sequence[str]
    database: Database
    product: Mapping[str, Started]
    servers: Sequence[Started]
    weather: Weather


@contextlib.asynccontextmanager
async def staged(plan: Plan, folder: Path) -> AsyncGenerator[Stage]:
    """Everything started and ready to run jobs; all of it is stopped when the block ends."""
    settings = ground.settings_of(folder / "state")
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings, lambda _: None))
        keys = await ground.keys(opened, settings, plan.accounts)
        servers = [
            await stack.enter_async_context(processes.server(folder / f"server-{number}", plan.step))
            for number in range(SERVERS)
        ]
        proxies = [await stack.enter_async_context(fault_proxy(server.url)) for server in servers]
        await ground.register(opened, [proxy.url for proxy in proxies])
        product = await _product(stack, settings, plan)
        await ground.fleet_known(opened, len(servers))
        apis = [started.url for name, started in product.items() if name.startswith("API")]
        weather = Weather(proxies, plan.weather, random.Random(plan.seed))  # noqa: S311 - the seed is the point
        yield Stage(apis, keys, opened, product, servers, weather)


async def _product(stack: contextlib.AsyncExitStack, settings: Settings, plan: Plan) -> dict[str, Started]:
    state, logs = settings.state_dir, settings.state_dir.parent
    chosen = {"max_queued_per_account": str(plan.queued), "log_level": "warning", "log_format": "json"}
    started: dict[str, Started] = {}
    for number in range(1, API_PROCESSES + 1):
        log = logs / f"api-{number}.log"
        api = role("serve", "--port", "0", "--state", str(state), settings=chosen, log=log)
        started[f"API {number}"] = await stack.enter_async_context(api)
    dispatcher = role("dispatch", "--state", str(state), settings=chosen, log=logs / "dispatcher.log")
    started["dispatcher"] = await stack.enter_async_context(dispatcher)
    return started


def alive(started: Started) -> bool:
    """Whether this child of ours still runs; asking does not reap it."""
    try:
        found = os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return found is None
