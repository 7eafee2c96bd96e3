"""A server that cannot be trusted takes no jobs until a probe has succeeded; the database keeps that in mind.

Probes come after 5, 10, 20, 40 and then every 60 seconds, and at once when somebody asks or the server came back.
"""

import asyncio
import contextlib
import datetime as dt
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from atelier.comfy.client import ComfyClient
from atelier.dispatch.context import Context
from atelier.dispatch.probe import probe
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Lease, Server
from atelier.fleet.store import roster
from atelier.kit.database import AWAY, Tx

CALM_SECONDS = 60.0

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")


class Illness(enum.StrEnum):
    """What a server is quarantined for."""

    WEDGED = "wedged"
    CUDA_FAULT = "cuda_fault"
    DISK_FULL = "disk_full"
    STUCK = "stuck"
    BLOCKED = "blocked"
    UNSTEADY = "unsteady"
    FAILED_PROBE = "failed_probe"


_PLAIN = {
    Illness.WEDGED: "its queue stands still",
    Illness.CUDA_FAULT: "its GPU failed",
    Illness.DISK_FULL: "its disk is full",
    Illness.STUCK: "it does not end what it is told to end",
    Illness.BLOCKED: "a prompt of somebody else does not end there",
    Illness.UNSTEADY: "it comes and goes",
    Illness.FAILED_PROBE: "it failed a probe",
}
"""What the owners of jobs are told: the server's own words may name paths, and what others do there."""


@dataclass(frozen=True, slots=True)
class Ward:
    """What a quarantine needs of the driver: what the server can run, who is to leave it, whom to tell."""

    inventory: Callable[[], Inventory | None]
    idle: Callable[[], bool]
    evict: Callable[[str], None]
    released: Callable[[], None]
    learn: Callable[[], None]


class Quarantine:
    """One server's. `reason`: why it takes no jobs, for operators; empty when it may. `plain`: for everybody."""

    def __init__(self, context: Context, lease: Lease, client: ComfyClient, ward: Ward) -> None:
        self._context = context
        self._lease = lease
        self._client = client
        self._ward = ward
        self.reason = lease.server.quarantine_reason if lease.server.quarantined_at else ""
        self.plain = "it is not well"
        self._latch: str | None = None if self.reason else ""
        self._asked_at: dt.datetime | None = lease.server.probe_asked_at
        self._asked = False
        self._unsaved: dict[str, Any] | None = None
        self._said = ""
        self._wake = asyncio.Event()

    @property
    def on(self) -> bool:
        return bool(self.reason)

    def begin(self, illness: Illness, reason: str, prompt_id: str = "") -> bool:
        """Take no more jobs from now on; those that are there leave. False when it was so already.

        `prompt_id`: the prompt that showed the illness. After a CUDA fault the process must be another one, and
        that is one that does not remember this prompt (behaviour 14).
        """
        if self.on:
            return False
        _log.warning("server.quarantined", server=self._lease.server.id, illness=str(illness), reason=reason)
        self.reason, self.plain = reason[:300], _PLAIN[illness]
        self._latch = prompt_id if illness is Illness.CUDA_FAULT else ""
        self._unsaved = {"illness": illness, "prompt_id": prompt_id}
        self._ward.evict(self.plain)
        self._wake.set()
        return True

    def told(self, server: Server) -> None:
        """The server's row as it is now: perhaps somebody asked for a probe."""
        if server.probe_asked_at is not None and server.probe_asked_at != self._asked_at:
            self._asked_at = server.probe_asked_at
            self._ward.learn()
            self.try_now()

    def try_now(self) -> None:
        """Probe at once."""
        self._asked = True
        self._wake.set()

    def try_now_if_on(self) -> None:
        """The server came back: perhaps it works again."""
        if self.on:
            self.try_now()

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            if self.on:
                await self._sit_out()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALM_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if self._asked and not self.on:
                self._asked = False
                await self._look_once()

    async def _sit_out(self) -> None:
        """Until a probe succeeds."""
        delay = self._context.settings.probe_first
        while self.on:
            await self._save()
            await self._pause(delay)
            delay = min(delay * 2, self._context.settings.probe_most)
            if self._asked:
                self._asked, delay = False, self._context.settings.probe_first
            reason = await self._probe()
            if reason:
                await self._tell("probe", ok=False, reason=reason)
            else:
                await self._release()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._asked:
                    await self._wake.wait()
                    self._wake.clear()

    async def _probe(self) -> str:
        if self._latch is None:
            self._latch = await self._remembered()
        inventory = self._ward.inventory()
        if inventory is None:
            return "it has not told what it can run"
        seconds = self._context.settings.probe_timeout
        reason = await probe(self._client, inventory.classes, seconds, after=self._latch)
        _log.info("server.probed", server=self._lease.server.id, reason=reason or "it works")
        return reason

    async def _look_once(self) -> None:
        """Somebody asked for a probe of a server that is in use: one that has work shows by it what it can do."""
        if not self._ward.idle():
            await self._tell("probe", ok=True, reason="it has work of ours; the probe graph was not sent")
            return
        reason = await self._probe()
        self._said = ""
        await self._tell("probe", ok=not reason, reason=reason)
        if reason:
            self.begin(Illness.FAILED_PROBE, reason)

    async def _remembered(self) -> str:
        """The prompt that shows whether the process is still the one that failed, as written down before us."""

        async def read(tx: Tx) -> str:
            told = await roster.last_quarantine(tx, self._lease.server.id)
            return str(told.get("prompt_id", "")) if told.get("illness") == Illness.CUDA_FAULT else ""

        return await self._insist(read)

    async def _save(self) -> None:
        if self._unsaved is None:
            return
        server_id, fence, told = self._lease.server.id, self._lease.fence, self._unsaved
        await self._insist(lambda tx: roster.quarantine(tx, server_id, fence, self.reason, told))
        self._unsaved = None
        self._context.wakeups.publish("fleet")

    async def _release(self) -> None:
        server_id, fence = self._lease.server.id, self._lease.fence
        await self._insist(lambda tx: roster.release(tx, server_id, fence, "a probe succeeded"))
        _log.info("server.released", server=server_id, reason=self.reason)
        self.reason, self._latch, self._said = "", "", ""
        self._context.wakeups.publish("fleet")
        self._ward.released()

    async def _tell(self, kind: str, *, ok: bool, reason: str) -> None:
        """As an event, unless it is what was said last: a broken server is probed every minute for weeks."""
        if reason == self._said and not ok:
            return
        self._said = reason
        told = {"ok": ok, "reason": reason}
        await self._insist(lambda tx: roster.record(tx, self._lease.server.id, kind, told))
        self._context.wakeups.publish("fleet")

    async def _insist(self, step: Callable[[Tx], Awaitable[_T]]) -> _T:
        """Until PostgreSQL takes it; the lease bounds this."""
        while True:
            try:
                async with self._context.database.transaction() as tx:
                    return await step(tx)
            except AWAY as error:
                _log.info("quarantine.not_saved", server=self._lease.server.id, reason=str(error))
                await asyncio.sleep(1.0)
