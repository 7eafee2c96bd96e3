"""What happens by the clock: expiry, retention, partitions, collection of bytes that nobody names any more."""

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from atelier.accounts import sessions
from atelier.assets.collect import collect
from atelier.dialects.webhook_source import JobSource
from atelier.entry.listening import address_of
from atelier.entry.roles import Foundation, outlook_of, services_of, twins_of
from atelier.fleet.store import aging, leasing, roster
from atelier.jobs import cached
from atelier.jobs.outlook import Outlook
from atelier.jobs.store import batches, claims, sweep, unnamed
from atelier.kit.background import background
from atelier.kit.database import Tx
from atelier.tasks.schema import prepare
from atelier.tasks.service import Tasks
from atelier.webhooks import rules
from atelier.webhooks import service as webhooks
from atelier.webhooks.delivering import Delivering
from atelier.webhooks.telling import Telling

EVENT_DAYS = 7


@contextlib.asynccontextmanager
async def running(ground: Foundation, base: str = "") -> AsyncGenerator[Tasks]:
    """A worker of background and periodic tasks, and who tells of jobs, for as long as the context is open.

    `base`: the address that links of messages begin with, where the settings name none.
    """
    await prepare(ground.database)
    rounds = Rounds(ground, outlook_of(ground))
    await rounds.partition()
    tasks = Tasks(ground.database, ground.wakeups)
    tasks.every("* * * * * */10", "jobs.expire", rounds.expire)
    tasks.every("* * * * * */10", "jobs.settle_twins", rounds.settle_twins)
    tasks.every("*/5 * * * *", "jobs.forget_finished", rounds.forget_finished)
    tasks.every("* * * * *", "jobs.forget_live", rounds.forget_live)
    tasks.every("17 * * * *", "jobs.forget_keys", rounds.forget_keys)
    tasks.every("47 * * * *", "sessions.forget_expired", rounds.forget_sessions)
    tasks.every("7 * * * *", "jobs.partition", rounds.partition)
    tasks.every("37 3 * * *", "claims.forget_shares", rounds.forget_shares)
    tasks.every("27 * * * *", "leasing.forget_dispatchers", rounds.forget_dispatchers)
    tasks.every("37 * * * *", "roster.forget_events", rounds.forget_server_events)
    tasks.every("*/10 * * * *", "assets.collect", rounds.collect)
    tasks.every("47 3 * * *", "jobs.forget_unnamed", rounds.forget_unnamed)
    tasks.every("57 3 * * *", "fleet.forget_unused", rounds.forget_unused)
    tasks.every("7 4 * * *", "webhooks.forget", rounds.forget_webhooks)
    async with background() as work:
        work.start(tasks.run())
        for loop in webhooks_of(ground, base):
            work.start(loop.run())
        yield tasks


def webhooks_of(ground: Foundation, base: str = "") -> tuple[Telling, Delivering]:
    """Who makes messages of what happened, and who sends them. Their sends have a loop of their own.

    As tasks, addresses that do not answer would take the places of all others.
    """
    settings, services = ground.settings, services_of(ground)
    links = (settings.public_url or base or address_of(settings.host, settings.port)).rstrip("/")
    telling = Telling(ground.database, ground.wakeups, JobSource(services, links))
    secret = functools.partial(rules.account_secret, ground.secrets.links)
    return telling, Delivering(ground.database, ground.wakeups, services.outbound, secret)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Each round may run twice, and alongside itself."""

    ground: Foundation
    outlook: Outlook

    async def expire(self) -> None:
        """Jobs that waited longer than they may end as expired; whoever follows them is told."""
        async with self.ground.database.transaction() as tx:
            ended = await sweep.expire(tx, why=self.outlook.why)
        async with self.ground.database.transaction() as tx:
            ended |= await cached.expire(tx)
        cached.tell(self.ground.wakeups, ended)

    async def settle_twins(self) -> None:
        """Those whose leader ended while nobody could settle them."""
        await twins_of(self.ground).settle()

    async def forget_finished(self) -> None:
        await self._while_some(sweep.forget_finished)
        await self._while_some(batches.forget)

    async def forget_live(self) -> None:
        async with self.ground.database.transaction() as tx:
            await sweep.forget_live(tx)

    async def forget_keys(self) -> None:
        async with self.ground.database.transaction() as tx:
            await sweep.forget_keys(tx)

    async def forget_sessions(self) -> None:
        async with self.ground.database.transaction() as tx:
            await sessions.forget_expired(tx)

    async def forget_shares(self) -> None:
        async with self.ground.database.transaction() as tx:
            await claims.forget_shares(tx)

    async def forget_dispatchers(self) -> None:
        async with self.ground.database.transaction() as tx:
            await leasing.forget_dispatchers(tx)

    async def forget_server_events(self) -> None:
        async with self.ground.database.transaction() as tx:
            await roster.forget_events(tx)

    async def partition(self) -> None:
        async with self.ground.database.transaction() as tx:
            await sweep.partition(tx, EVENT_DAYS)

    async def collect(self) -> None:
        await collect(self.ground.database, self.ground.storage)

    async def forget_unnamed(self) -> None:
        """Graphs and requirement sets that no job names; what is marked today is deleted tomorrow."""
        for kind in (unnamed.GRAPHS, unnamed.REQUIREMENTS):
            async with self.ground.database.transaction() as tx:
                await unnamed.unmark(tx, kind)
            await self._while_some(functools.partial(unnamed.delete, kind=kind))
            await self._while_some(functools.partial(unnamed.mark, kind=kind))

    async def forget_unused(self) -> None:
        for forget in (aging.forget_inventories, aging.forget_pages, aging.forget_measures, aging.forget_files):
            async with self.ground.database.transaction() as tx:
                await forget(tx)

    async def forget_webhooks(self) -> None:
        await self._while_some(webhooks.forget)

    async def _while_some(self, step: Callable[[Tx], Awaitable[int]]) -> None:
        done = 1
        while done:
            async with self.ground.database.transaction() as tx:
                done = await step(tx)
