"""The product in one process, and as it is deployed for many: `serve` and `dispatch` apart."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.entry.state import database
from tools.bench import accepting, ground
from tools.bench.processes import Started, role

TOGETHER, APART = "together", "apart"
WAYS = (TOGETHER, APART)


@dataclass(frozen=True, slots=True)
class Product:
    """`api` is the process that clients ask; one key for each account."""

    api: Started
    keys: Sequence[str]


@contextlib.asynccontextmanager
async def product(way: str, state: Path, urls: Sequence[str], accounts: int) -> AsyncGenerator[Product]:
    """Over these servers, all of them known."""
    made = _together if way == TOGETHER else _apart
    async with made(state, urls, accounts) as started:
        yield started


@contextlib.asynccontextmanager
async def _together(state: Path, urls: Sequence[str], accounts: int) -> AsyncGenerator[Product]:
    words = ("--port", "0", "--state", str(state), "--comfyui", ",".join(urls))
    async with role("up", "--json", *words) as api:
        yield Product(api, await accepting.make_keys(state, accounts))


@contextlib.asynccontextmanager
async def _apart(state: Path, urls: Sequence[str], accounts: int) -> AsyncGenerator[Product]:
    settings = ground.settings_of(state)
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings, lambda _: None))
        await ground.register(opened, urls)
        words = ("--state", str(settings.state_dir))
        await stack.enter_async_context(role("dispatch", *words))
        await ground.fleet_known(opened, len(urls))
        api = await stack.enter_async_context(role("serve", "--port", "0", *words))
        yield Product(api, await ground.keys(opened, settings, accounts))
