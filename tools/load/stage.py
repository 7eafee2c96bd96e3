"""A whole Atelier for this run alone: PostgreSQL, two API processes, a dispatcher, and servers behind proxies."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.entry.settings import Settings, load
from atelier.entry.state import database, secrets_of
from atelier.kit.database import Database
from tools.bench import processes
from tools.bench.processes import Started, role
from tools.chaos.fault_proxy import FaultProxy, fault_proxy
from tools.load.plan import API_PROCESSES, SERVERS, Plan
from tools.load.weather import Weather

READY_SECONDS = 30.0


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
    settings = load(state_dir=folder / "state", database_url="", key_pepper="", link_secret="")
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings, lambda _: None))
        keys = await _keys(opened, settings, plan.accounts)
        servers = [
            await stack.enter_async_context(processes.server(folder / f"server-{number}", plan.step))
            for number in range(SERVERS)
        ]
        proxies = [await stack.enter_async_context(fault_proxy(server.url)) for server in servers]
        product = await _product(stack, settings, plan, proxies)
        await _fleet_is_known(opened, len(servers))
        apis = [started.url for name, started in product.items() if name.startswith("API")]
        weather = Weather(proxies, plan.weather, random.Random(plan.seed))  # noqa: S311 - the seed is the point
        yield Stage(apis, keys, opened, product, servers, weather)


async def _keys(opened: Database, settings: Settings, count: int) -> list[str]:
    """One for each of `count` accounts of its own."""
    pepper = secrets_of(settings).pepper
    keys: list[str] = []
    async with opened.transaction() as tx:
        for number in range(count):
            account = await accounts.create_account(tx, f"load-{number}")
            keys.append((await accounts.create_key(tx, pepper, account.id, Role.MEMBER))[1])
    return keys


async def _product(
    stack: contextlib.AsyncExitStack, settings: Settings, plan: Plan, proxies: Sequence[FaultProxy]
) -> dict[str, Started]:
    state, logs = settings.state_dir, settings.state_dir.parent
    chosen = {"max_queued_per_account": str(plan.queued), "log_level": "warning", "log_format": "json"}
    urls = ",".join(proxy.url for proxy in proxies)
    started: dict[str, Started] = {}
    for number in range(1, API_PROCESSES + 1):
        words = ("serve", "--port", "0", "--state", str(state))
        api = role(*words, settings=chosen, log=logs / f"api-{number}.log")
        started[f"API {number}"] = await stack.enter_async_context(api)
    words = ("dispatch", "--comfyui", urls, "--state", str(state))
    dispatcher = role(*words, settings=chosen, log=logs / "dispatcher.log")
    started["dispatcher"] = await stack.enter_async_context(dispatcher)
    return started


async def _fleet_is_known(opened: Database, count: int) -> None:
    """Until every server has told what it can run."""
    async with asyncio.timeout(READY_SECONDS):
        while await _known(opened) < count:  # noqa: ASYNC110 - the dispatcher is another process
            await asyncio.sleep(0.05)


async def _known(opened: Database) -> int:
    async with opened.autocommit() as connection:
        rows = await connection.execute(
            "SELECT count(*) FROM servers WHERE health = 'ready' AND inventory_digest IS NOT NULL"
        )
        row = await rows.fetchone()
    return int(row[0]) if row else 0


def alive(started: Started) -> bool:
    """Whether this child of ours still runs; asking does not reap it."""
    try:
        found = os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return found is None
