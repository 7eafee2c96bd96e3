"""One leased server: one socket, at most one running prompt and one placed ahead of its turn."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from atelier.comfy import messages as m
from atelier.comfy.client import ComfyClient, Failed, HistoryEntry, Success
from atelier.comfy.errors import FailureKind, Rejected, sort_failure
from atelier.comfy.socket import ComfySocket, Connected, Disconnected, Event, Refused
from atelier.dispatch.adoption import Adoption
from atelier.dispatch.attempt import Attempt
from atelier.dispatch.beginnings import Beginnings
from atelier.dispatch.context import Context
from atelier.dispatch.ending import Ending
from atelier.dispatch.ends import End
from atelier.dispatch.offers import Offers
from atelier.dispatch.placing import Placer
from atelier.dispatch.pulse import Pulse
from atelier.dispatch.quarantine import Quarantine, Ward
from atelier.dispatch.stale import lacks
from atelier.dispatch.strays import Strays
from atelier.fleet.inventory import Inventory
from atelier.fleet.machine import vram_total
from atelier.fleet.model import Lease, Server, Slot
from atelier.jobs.cached import TOPIC as ENDED
from atelier.jobs.model import Claim
from atelier.kit import clock
from atelier.kit.ids import JobId

_log = structlog.get_logger(__name__)


class Feed(Protocol):
    """Who brings jobs to the slots of all drivers."""

    def changed(self) -> None:
        """What waits, or what a server can run, may have changed."""
        ...

    def freed(self) -> None:
        """A slot is free, or may soon be; nothing else is new."""
        ...

    def spent(self, claim: Claim, seconds: float) -> None:
        """An attempt has left its server, which it occupied for so long."""
        ...


class Driver:
    """Drives one server for as long as the lease is held; cancelled, it leaves everything to be adopted."""

    def __init__(self, context: Context, lease: Lease, feed: Feed) -> None:
        server = lease.server
        self.lease = lease
        self.server = server
        self.server_id = server.id
        self.settings = context.settings
        self.telemetry = context.telemetry
        self.relay = context.relay
        self.client_id = f"atelier-{server.id}-{lease.fence}"
        self.client = ComfyClient(
            context.http, server.url, headers=server.headers, timeouts=context.settings.timeouts
        )
        self.placer = Placer(context.database, context.storage, self.client, server.id)
        self.usable = True
        self.epoch = 0
        self.heard_at = float("-inf")
        self.quarantine = Quarantine(context, lease, self.client, self._ward())
        self.pulse = Pulse(
            context, server.id, self.client, self.quarantine, feed.changed, recovered=self._server_is_back
        )
        self._context = context
        self._feed = feed
        self._socket = ComfySocket(context.http, server.url, client_id=self.client_id, headers=server.headers)
        self.offers = Offers(lease, context.pace, context.settings)
        self._ending = Ending(context.database, context.storage, context.settings.output_limit, context.finishing)
        self._strays = Strays(context, self.client, self.server_id)
        self._attempts: dict[str, Attempt] = {}
        self._on_server: list[Attempt] = []
        self._group: asyncio.TaskGroup | None = None
        self._beginnings = Beginnings(context, self._spawn)
        self._adoption = Adoption(context, lease, self._attempts.keys, self._adopt)

    def _ward(self) -> Ward:
        return Ward(
            inventory=lambda: self.pulse.inventory,
            idle=lambda: not self._on_server,
            evict=self._evict,
            released=self._server_is_back,
            learn=self._learn_soon,
        )

    async def run(self) -> None:
        """Drive until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._adoption.adopt(self.offers.throttle)
                for part in (
                    self._socket.listen(self._hear),
                    self.pulse.run(),
                    self.quarantine.run(),
                    self._strays.run(self._attempts.keys),
                    self._adoption.run(self.offers.throttle),
                ):
                    group.create_task(self._or_stop(part))
        finally:
            self._group = None

    async def _or_stop(self, part: Coroutine[Any, Any, None]) -> None:
        """A part that fails ends the others: from that moment on nothing new begins here."""
        try:
            await part
        except BaseException:
            self._group = None
            raise

    def told(self, server: Server) -> None:
        """The server's row as it is now."""
        self.server = server
        self.offers.told(server)
        self.quarantine.told(server)

    # What it offers and takes ------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether it may be given jobs, now or when it is done with those that it has."""
        return bool(self._group) and self.usable and self.pulse.ready and self.offers.server.takes_jobs

    @property
    def inventory(self) -> Inventory | None:
        """What it can run, once it has told."""
        return self.pulse.inventory

    @property
    def canary(self) -> bool:
        """Whether it takes only a part of what it could."""
        return self.offers.server.share < 1

    @property
    def idle(self) -> bool:
        """Whether its server answers and has no work of ours."""
        return self.pulse.ready and not self._on_server

    def unloaded(self) -> None:
        """Nothing is loaded there any more."""
        self.offers.heat.forget()

    def takes_its_turn(self) -> bool:
        """Whether it may be given a job that others could run as well."""
        return not self.canary or self.offers.throttle.is_its_turn(self.offers.server.share)

    def offer(self) -> Slot | None:
        """What it has to offer now; None when it takes no jobs."""
        if not self.open:
            return None
        if self.inventory is not None:
            self.offers.heat.learn(vram_total(self.offers.server.system), self.inventory.sizes)
        return self.offers.slot(self._on_server, collecting=self._busy_collecting())

    def rest(self) -> float:
        """Seconds that the running prompt still needs, as far as is known."""
        return self.offers.rest(self._on_server) or 0.0

    def start(self, claim: Claim) -> None:
        """Run an attempt that was claimed for this server.

        One that was claimed for a driver before this one, or comes when this one has stopped, is adopted instead.
        """
        self.offers.throttle.give(clock.monotonic())
        if self._group is not None and claim.fence == self.lease.fence:
            self._begin(Attempt(claim, self))

    def adopt_soon(self) -> None:
        """A claim's answer was lost: perhaps the database has attempts for this server that nobody runs."""
        self._adoption.soon()

    def ahead(self) -> Attempt | None:
        """The attempt that waits on the server behind the running one and could be taken back."""
        waiting = self._on_server[1:]
        return next((a for a in waiting if a.submitted and a.started_at is None and not a.withdraw_asked), None)

    def jobs(self) -> list[JobId]:
        return [attempt.claim.job_id for attempt in self._attempts.values()]

    def cancel(self, wanted: set[JobId]) -> None:
        """Cancel those of these jobs that are here."""
        for attempt in self._attempts.values():
            if attempt.claim.job_id in wanted and not attempt.cancel_asked:
                attempt.cancel()

    # What an attempt sees (Host) ---------------------------------------------------------------

    @property
    def hears(self) -> bool:
        return self.pulse.hears

    @property
    def lost(self) -> bool:
        return self.pulse.lost

    def trouble(self, reason: str) -> None:
        self.pulse.trouble(reason)

    def well(self) -> None:
        self.pulse.well()

    async def lacks(self, requirement_id: int) -> bool:
        return await lacks(self._context.database, self.pulse, requirement_id)

    def started(self, attempt: Attempt) -> None:
        self._beginnings.note(attempt)
        self.offers.begins(attempt)
        self._feed.freed()

    def let_go(self, attempt: Attempt) -> None:
        """The slot is free from here on; what the run made is fetched behind it."""
        self._leave_server(attempt)

    # Attempts ----------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        if self._group is not None:
            return self._group.create_task(work)
        work.close()
        return None

    def _adopt(self, claim: Claim) -> None:
        self._begin(Attempt(claim, self, adopted=True))

    def _begin(self, attempt: Attempt) -> None:
        if self._group is None or attempt.prompt_id in self._attempts:
            return
        self._attempts[attempt.prompt_id] = attempt
        if attempt.started_at is not None:
            self.offers.begins(attempt)
        attempt.behind = self._on_server[-1] if self._on_server else None
        self._on_server.append(attempt)
        if self.quarantine.on:
            attempt.evict(self.quarantine.plain)
        self._group.create_task(self._live(attempt))

    async def _live(self, attempt: Attempt) -> None:
        end: End | None = None
        try:
            end = await attempt.run()
            self._ran(attempt, end)
            self._leave_server(attempt)
            await self._beginnings.settle(attempt, succeeded=_succeeded(end))
            if isinstance(end, HistoryEntry):
                self.pulse.remember(attempt.prompt_id)
                await attempt.tell_all()
            await self._ending.finish(attempt, end)
            if isinstance(end, Rejected):
                self.placer.forget()
        except Exception as error:  # noqa: BLE001 - a bug in one job must not take the others along
            _log.exception("attempt.crashed", job=str(attempt.claim.job_id))
            await self._ending.crashed(attempt.claim, error)
        finally:
            attempt.forget_start()
            self._leave_server(attempt)
            self.offers.gone(attempt)
            self._attempts.pop(attempt.prompt_id, None)
            self.telemetry.forget(attempt.claim.job_id)
        self._context.wakeups.publish(f"account:{attempt.claim.account_id}")
        self._context.wakeups.publish(f"job:{attempt.claim.job_id}")
        if attempt.claim.finish is not None:
            self._context.wakeups.publish(ENDED)  # others may wait for its files
        if _succeeded(end):
            self._feed.freed()
        else:  # perhaps it waits again
            self._feed.changed()

    def _leave_server(self, attempt: Attempt) -> None:
        if attempt not in self._on_server:
            return
        self._on_server.remove(attempt)
        self._feed.spent(attempt.claim, attempt.ran())
        self._feed.freed()

    def _ran(self, attempt: Attempt, end: End | None) -> None:
        """What its run says of the next ones there. One that was out of memory leaves nothing loaded."""
        self.offers.ended(attempt, well=_succeeded(end))
        if _out_of_memory(end):
            self.offers.heat.forget()

    def _busy_collecting(self) -> bool:
        return len(self._attempts) - len(self._on_server) >= self.settings.collect_at_once

    # The socket --------------------------------------------------------------------------------

    def _hear(self, event: Event, frame: str | bytes) -> None:
        match event:
            case Connected(epoch=epoch):
                self.epoch = epoch
                self.pulse.connected()
                self._look_everywhere()
            case Disconnected(reason=reason):
                self.pulse.disconnected(reason)
                self._look_everywhere()
            case Refused():
                self.pulse.unheard()
                self._look_everywhere()
            case m.Status(queue_remaining=remaining):
                self.heard_at = clock.monotonic()
                self._strays.counted(remaining, len(self._on_server))
            case _:
                self.heard_at = clock.monotonic()
                self._route(event, frame)

    def _route(self, message: m.Message, frame: str | bytes) -> None:
        """To the attempt that the message names; without a name, to the one that runs."""
        prompt_id = getattr(message, "prompt_id", None)
        attempt = self._attempts.get(prompt_id) if prompt_id else self._running()
        if attempt is not None:
            attempt.hear(message, frame)

    def _running(self) -> Attempt | None:
        return next((attempt for attempt in self._on_server if attempt.started_at is not None), None)

    def _look_everywhere(self) -> None:
        for attempt in self._attempts.values():
            attempt.look_now()

    def _server_is_back(self) -> None:
        self.offers.heat.doubt()
        self.placer.forget()
        self._strays.look_now()
        self._look_everywhere()
        self._feed.changed()

    def _learn_soon(self) -> None:
        self.pulse.learn_soon()

    def _evict(self, reason: str) -> None:
        for attempt in list(self._on_server):
            attempt.evict(reason)


def _succeeded(end: End | None) -> bool:
    return isinstance(end, HistoryEntry) and isinstance(end.verdict, Success)


def _out_of_memory(end: End | None) -> bool:
    match end:
        case HistoryEntry(verdict=Failed(data)):
            return sort_failure(dict(data)).kind is FailureKind.OUT_OF_MEMORY
        case _:
            return False
