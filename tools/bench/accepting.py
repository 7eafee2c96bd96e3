"""How many jobs one API process makes durable in a second, when nothing runs them."""

import asyncio
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.entry.settings import load
from atelier.entry.state import database, secrets_of
from tools.bench import graphs
from tools.bench.processes import Usage, spent
from tools.bench.through import Atelier, WronglyEnded
from tools.bench.turns import Result


async def make_keys(state: Path, count: int) -> list[str]:
    """One key for each of `count` accounts of its own; in a loop of asyncio's own, which can change users."""
    return await asyncio.to_thread(asyncio.run, _make_keys(state, count))


async def _make_keys(state: Path, count: int) -> list[str]:
    settings = load(state_dir=state)
    pepper = secrets_of(settings).pepper
    keys: list[str] = []
    async with database(settings, lambda _: None) as opened, opened.transaction() as tx:
        for number in range(count):
            account = await accounts.ensure_account(tx, f"bench-{number}")
            keys.append((await accounts.create_key(tx, pepper, account.id, Role.MEMBER))[1])
    return keys


async def accepted(
    result: Result, accounts_: Sequence[Atelier], *, clients: int, seconds: float, usage: Usage
) -> None:
    """`clients` submit one job after another during `seconds`, each for an account in turn."""
    until = time.perf_counter() + seconds
    before = usage.cpu()
    counted = len(result.millis)

    async def client(atelier: Atelier) -> None:
        while (began := time.perf_counter()) < until:
            try:
                await atelier.submit(graphs.plain())
            except WronglyEnded as error:
                result.wrong.append(str(error))
            else:
                result.millis.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _, atelier in zip(range(clients), cycle(accounts_), strict=False):
            group.create_task(client(atelier))
    result.rates.append((len(result.millis) - counted) / (time.perf_counter() - began))
    result.used(spent(before, usage.cpu()))
