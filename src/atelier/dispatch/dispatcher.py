"""A dispatcher leases servers by one heartbeat, drives each, and lets go of what it can no longer hold."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Collection

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from atelier.dispatch.context import Context
from atelier.dispatch.driver import Driver
from atelier.dispatch.feeder import Feeder
from atelier.dispatch.freeing import Freeing
from atelier.dispatch.pace import SAVE_SECONDS
from atelier.fleet import sharing
from atelier.fleet.model import Lease
from atelier.fleet.sharing import Plan
from atelier.fleet.store import leasing
from atelier.jobs import service as jobs
from atelier.jobs.model import Cause
from atelier.jobs.store import claims
from atelier.kit import clock
from atelier.kit.database import AWAY, Database, Tx
from atelier.kit.ids import JobId, ServerId

LEAVE_SECONDS = 15.0
"""Longer than a cancelled driver takes to close its socket and to end its statements."""

GIVE_BACK_SECONDS = 2.0
"""A stop waits no longer than this for PostgreSQL; without it the leases run out by themselves."""

HURRY_SECONDS = 0.5
CALM_SECONDS = 0.1

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Runs until cancelled. `drain` first, for a stop that loses no time of anybody."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._drivers: dict[ServerId, Driver] = {}
        self._tasks: dict[ServerId, list[asyncio.Task[None]]] = {}
        self._feeder = Feeder(context, self._drivers)
        self._freeing = Freeing(context, self._drivers)
        self._renewed = clock.monotonic()
        self._stopping = math.inf
        self._came = False

    async def run(self) -> None:
        await self._context.pace.load()
        async with self._context.database.apart() as heart, asyncio.TaskGroup() as group:
            group.create_task(self._beat(group, heart))
            group.create_task(self._let_go())
            group.create_task(self._feeder.run())
            group.create_task(self._hear_cancels())
            group.create_task(self._freeing.run())
            group.create_task(self._context.telemetry.run(self.jobs))
            group.create_task(self._save_pace())

    def jobs(self) -> list[JobId]:
        """The jobs that are here now, running, waiting on a server or being collected."""
        return [job for driver in self._drivers.values() for job in driver.jobs()]

    def take_no_more(self) -> None:
        """From now on nothing is claimed; `drain` counts its seconds from here."""
        self._feeder.stopped = True
        self._stopping = min(self._stopping, clock.monotonic())

    async def drain(self, seconds: float) -> None:
        """Take no more; wait at most `seconds` for what runs; then hand every lease back."""
        self.take_no_more()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(self._stopping + seconds - clock.monotonic(), 0)):
                while self.jobs():  # noqa: ASYNC110 - many drivers empty themselves; one look in a while is enough
                    await asyncio.sleep(0.05)

    async def leave(self, ending: Collection[ServerId] = ()) -> None:
        """Give the leases back, so that nobody waits for them to run out. Call it when `run` has ended.

        Servers in `ending` end with us: their jobs wait again, as if they had not been claimed.
        """
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._context.pace.save()
                async with self._context.database.transaction() as tx:
                    await self._give_up(tx, ending)
                    await leasing.leave(tx, self._context.me)
        except AWAY as error:
            _log.warning("lease.not_given_back", reason=str(error) or "PostgreSQL does not answer")
        self._context.wakeups.publish("fleet")

    async def _give_up(self, tx: Tx, ending: Collection[ServerId]) -> None:
        for lease in await leasing.leases(tx, self._context.me):
            if lease.server.id in ending:
                for claim in await claims.live(tx, lease.server.id, lease.fence):
                    await jobs.withdraw(tx, claim)

    # Leases ------------------------------------------------------------------------------------

    async def _beat(self, group: asyncio.TaskGroup, heart: Database) -> None:
        """`heart`: jobs of a hundred servers keep the common connections busy, and may not cost the leases."""
        with self._context.wakeups.subscribe("fleet") as woken:
            while True:
                sent = clock.monotonic()
                try:
                    async with asyncio.timeout(self._context.settings.heartbeat):
                        leases, plan, soon = await self._renew(heart)
                except (psycopg.Error, PoolTimeout, OSError, TimeoutError) as error:
                    _log.warning("lease.not_renewed", reason=str(error) or "PostgreSQL does not answer")
                    await asyncio.sleep(self._context.settings.heartbeat / 5)
                else:
                    self._renewed = sent
                    self._follow(group, leases, plan.take_jobs)
                    await self._rest(woken.wait, sent, min(soon, HURRY_SECONDS) if plan.leaving else soon)

    async def _rest(self, wait: Callable[[float], Awaitable[bool]], sent: float, soon: float) -> None:
        """Until the next beat; a change of the fleet shortens it, but a hundred changes do not make a storm.

        `soon`: seconds after which there is something to do in any case.
        """
        rest = min(self._context.settings.heartbeat, soon) - (clock.monotonic() - sent)
        if rest > 0 and await wait(rest):
            await asyncio.sleep(CALM_SECONDS)

    async def _renew(self, heart: Database) -> tuple[list[Lease], Plan, float]:
        """What we hold, what should be, and in how many seconds another dispatcher would have run out."""
        me, settings = self._context.me, self._context.settings
        async with heart.transaction() as tx:
            await leasing.beat(tx, me, settings.name, settings.expiry)
            seats = await leasing.seats(tx, me)
            plan = sharing.plan(seats, settings.name, await leasing.names_alive(tx), self._busy)
            idle = [server_id for server_id in plan.leaving if not self._busy(server_id)]
            await leasing.release(tx, me, idle)
            for among, most in plan.wanted:
                await leasing.acquire(tx, me, most, among)
            leases = await leasing.leases(tx, me)
            soon = await leasing.runs_out_in(tx, me) + CALM_SECONDS
        if idle or not self._came:
            self._came = True
            self._context.wakeups.publish("fleet")  # others give and take now, not with their next beat
        return leases, plan, soon

    def _busy(self, server_id: ServerId) -> bool:
        driver = self._drivers.get(server_id)
        return driver is not None and bool(driver.jobs())

    def _follow(self, group: asyncio.TaskGroup, leases: Collection[Lease], usable: Collection[ServerId]) -> None:
        """Make the drivers be exactly the leases that we hold on servers that we can reach."""
        orphans = [lease for lease in leases if not self._reaches(lease)]
        if orphans:
            group.create_task(self._end_orphans(orphans))
        wanted = {lease.server.id: lease for lease in leases if self._reaches(lease)}
        for server_id, driver in list(self._drivers.items()):
            if not _same(driver.lease, wanted.get(server_id)):
                self._drop(server_id)
        for server_id, lease in wanted.items():
            if server_id not in self._drivers:
                self._drive(group, lease)
            if server_id in self._drivers:
                self._drivers[server_id].usable = server_id in usable
                self._drivers[server_id].told(lease.server)

    def _reaches(self, lease: Lease) -> bool:
        return lease.server.only_dispatcher in {"", self._context.settings.name}

    async def _end_orphans(self, leases: Collection[Lease]) -> None:
        """What lives on servers that only a lost dispatcher could reach waits again; nobody asks those servers."""
        for lease in leases:
            told = {"while": "its dispatcher was away", "dispatcher": lease.server.only_dispatcher}
            try:
                async with self._context.database.transaction() as tx:
                    living = await claims.live(tx, lease.server.id, lease.fence)
                    for claim in living:
                        await jobs.finish_retriable(tx, claim, Cause.SERVER_LOST, was_running=False, evidence=told)
                    await leasing.release(tx, self._context.me, [lease.server.id])
            except (psycopg.Error, OSError) as error:  # the lease stays ours: the next beat finds it again
                _log.info("orphans.not_ended", server=lease.server.id, reason=str(error))
            else:
                _log.warning("orphans.ended", server=lease.server.id, dispatcher=lease.server.only_dispatcher)
                for topic in {t for one in living for t in (f"job:{one.job_id}", f"account:{one.account_id}")}:
                    self._context.wakeups.publish(topic)
        self._context.wakeups.publish("queue")

    def _drive(self, group: asyncio.TaskGroup, lease: Lease) -> None:
        try:
            driver = Driver(self._context, lease, self._feeder)
        except ValueError as error:  # an address that nothing can ask must not end the other drivers
            _log.warning("server.unusable", server=lease.server.id, reason=str(error))
            return
        self._drivers[lease.server.id] = driver
        before = [task for task in self._tasks.get(lease.server.id, ()) if not task.done()]
        self._tasks[lease.server.id] = [*before, group.create_task(self._supervise(driver, before))]

    async def _supervise(self, driver: Driver, before: Collection[asyncio.Task[None]]) -> None:
        """A driver that fails, mostly for want of the database, is begun anew; its attempts are adopted.

        It begins when those before it have left: two sockets of one client id would both go silent (behaviour 10).
        """
        if before:
            await asyncio.wait(before, timeout=LEAVE_SECONDS)
        try:
            await driver.run()
        except* Exception as errors:  # noqa: BLE001 - one server's trouble must not end the others
            _log.warning("driver.restarting", server=driver.server_id, exc_info=errors)
            await asyncio.sleep(1.0)
        if self._drivers.get(driver.server_id) is driver:
            del self._drivers[driver.server_id]
            self._context.wakeups.publish("fleet")

    def _drop(self, server_id: ServerId) -> None:
        del self._drivers[server_id]
        self._tasks[server_id][-1].cancel()

    async def _let_go(self) -> None:
        """Whoever has not renewed for `hold` seconds may have lost its leases: stop before others begin."""
        while True:
            await asyncio.sleep(0.25)
            if self._drivers and clock.monotonic() - self._renewed > self._context.settings.hold:
                _log.warning("lease.held_no_longer", servers=list(self._drivers))
                for server_id in list(self._drivers):
                    self._drop(server_id)

    # What else runs ----------------------------------------------------------------------------

    async def _hear_cancels(self) -> None:
        with self._context.wakeups.subscribe("cancel") as woken:
            while True:
                await woken.wait(2.0)
                here = self.jobs()
                if not here:
                    continue
                try:
                    async with self._context.database.autocommit() as connection:
                        wanted = await claims.canceling(connection, here)
                except (psycopg.Error, PoolTimeout, OSError) as error:
                    _log.info("cancels.not_seen", reason=str(error))
                    continue
                for driver in self._drivers.values():
                    driver.cancel(wanted)

    async def _save_pace(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self._context.pace.save()


def _same(held: Lease, wanted: Lease | None) -> bool:
    return (
        wanted is not None
        and held.fence == wanted.fence
        and held.server.url == wanted.server.url
        and held.server.headers == wanted.server.headers
    )
