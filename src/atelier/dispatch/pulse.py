"""Whether one server lives and what it can run: asked on every connection and at every sign of trouble.

A server is lost when it answered nothing for `lost_after` seconds; it comes back by answering.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog

from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.dispatch.context import Context
from atelier.dispatch.leafing import leaf_through
from atelier.dispatch.learning import learn
from atelier.dispatch.quarantine import Illness, Quarantine
from atelier.fleet.inventory import Inventory
from atelier.fleet.machine import machine_of
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, roster
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import ServerId

TROUBLED_SECONDS = 1.0
CALM_SECONDS = 30.0

UNSTEADY_LOSSES = 3
UNSTEADY_SECONDS = 600.0
"""A server that is lost so often within so long makes more trouble than pictures."""

MEMORY_STEP = 256 * 1024**2
"""Bytes of free VRAM; smaller changes are not written down."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Pulse:
    """`changed` is called when what this server may take has changed, `recovered` when it answers again."""

    context: Context
    server_id: ServerId
    client: ComfyClient
    quarantine: Quarantine
    changed: Callable[[], None]
    recovered: Callable[[], None]
    inventory: Inventory | None = None
    lost: bool = False
    hears: bool = False
    _trouble_since: float | None = None
    _trouble: str = ""
    _unlisted: str = ""
    _deaf: bool = False
    _opening_since: float = field(default_factory=clock.monotonic)
    _stats: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _free: int = 0
    _losses: list[float] = field(default_factory=list[float])
    _remembered: str = ""
    _reconnected: bool = False
    _stale: asyncio.Event = field(default_factory=asyncio.Event)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._stale.set()

    @property
    def ready(self) -> bool:
        """May take jobs now."""
        well = self._trouble_since is None and not self.lost and not self.quarantine.on
        return self.inventory is not None and well

    def trouble(self, reason: str) -> None:
        self._trouble = reason
        if self._trouble_since is None:
            self._trouble_since = clock.monotonic()
            self._wake.set()

    def well(self) -> None:
        was_lost, self.lost = self.lost, False
        if self._trouble_since is not None:
            self._trouble_since, self._trouble = None, ""
            self._stale.set()
            self._wake.set()
        if was_lost:
            _log.info("server.back", server=self.server_id)

    def connected(self) -> None:
        """A new socket: perhaps a new process behind it, with other models."""
        self.hears, self._deaf = True, False
        self._reconnected = bool(self._remembered)
        self._stale.set()
        self._wake.set()

    def disconnected(self, reason: str) -> None:
        self.hears, self._opening_since = False, clock.monotonic()
        self.trouble(reason)

    def unheard(self) -> None:
        """The server answers, but not as a WebSocket: jobs run by polling alone."""
        self.hears, self._deaf = False, True
        if self.inventory is None:
            self._stale.set()
        self._wake.set()

    def remember(self, prompt_id: str) -> None:
        """A prompt that ended there: the process that ran it has it in its history (behaviour 14)."""
        self._remembered = prompt_id

    def learn_soon(self) -> None:
        """Ask what it can run: somebody says that it has changed."""
        self._stale.set()

    async def learn_now(self) -> bool:
        """Ask what it can run, and wait for the answer. False when it does not tell."""
        return await self._learn()

    async def run(self) -> None:
        """Ask until cancelled. What takes long to tell never keeps from seeing that the server is gone."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_forever())
            group.create_task(self._learn_forever())

    async def _ask_forever(self) -> None:
        while True:
            await self._round()
            await self._save_health()
            await _set_within(self._wake, self._rest())
            self._wake.clear()

    def _rest(self) -> float:
        return TROUBLED_SECONDS if self._trouble_since is not None else self.context.settings.probe_interval

    async def _learn_forever(self) -> None:
        while True:
            if not await _set_within(self._stale, CALM_SECONDS):
                continue
            self._stale.clear()
            if self._trouble_since is not None:
                continue
            if await self._learn():
                await self._leaf_through()
            else:
                await asyncio.sleep(TROUBLED_SECONDS if self.inventory is None else CALM_SECONDS)
                self._stale.set()

    async def _round(self) -> None:
        troubled = self._trouble_since is not None
        try:
            async with asyncio.timeout(self.context.settings.timeouts.read):
                self._stats = await self.client.system_stats()
        except (ComfyError, TimeoutError) as error:
            self.trouble(str(error) or "it does not answer")
            self._judge()
            return
        self.well()
        if troubled:
            self.recovered()
            self.quarantine.try_now_if_on()
        if self._reconnected:
            await self._see_restart()
        self.changed()

    async def _see_restart(self) -> None:
        """A process that forgot what it ran is another one: its models are not loaded any more."""
        self._reconnected = False
        try:
            entry = await self.client.history(self._remembered)
        except ComfyError as error:
            _log.info("server.history_not_seen", server=self.server_id, reason=str(error))
            return
        if entry is None:
            self._remembered = ""
            _log.info("server.restarted", server=self.server_id)
            await self._record("restarted", {"reason": "it forgot what it had run"})

    async def _record(self, kind: str, data: Mapping[str, Any]) -> None:
        try:
            async with self.context.database.transaction() as tx:
                await roster.record(tx, self.server_id, kind, data)
        except (psycopg.Error, OSError) as error:
            _log.info("server.event_not_saved", server=self.server_id, kind=kind, reason=str(error))

    async def _learn(self) -> bool:
        """What it can run. A server whose list is broken, or long in coming, works on with what is known of it."""
        try:
            async with self.context.learning:
                learned = await learn(self.client, self.inventory, self.context.settings.timeouts.read)
            async with self.context.database.transaction() as tx:
                await catalogs.save_inventory(tx, self.server_id, learned.inventory, learned.system)
        except Exception as error:  # noqa: BLE001 - nodes of strangers write this list: it may be anything
            self._unlisted = str(error) or "it takes too long"
            _log.warning("server.inventory_unknown", server=self.server_id, reason=self._unlisted)
            self._wake.set()
            return False
        self.inventory, self._unlisted = learned.inventory, ""
        self.context.wakeups.publish("fleet")
        self._wake.set()
        self.changed()
        return True

    async def _leaf_through(self) -> None:
        """What its packs add to the editor; nobody who runs jobs waits for it."""
        alone = any(one.id == self.server_id and one.only_dispatcher for one in self.context.view.servers)
        try:
            pages = await leaf_through(self.client, self.context.settings.timeouts.read, with_files=alone)
            if pages is not None:
                async with self.context.database.transaction() as tx:
                    await catalogs.save_pages(tx, self.server_id, pages)
        except Exception as error:  # noqa: BLE001 - packs of strangers write these pages: they may be anything
            _log.warning("server.pages_unknown", server=self.server_id, reason=str(error))

    def _judge(self) -> None:
        since, now = self._trouble_since, clock.monotonic()
        if since is None or self.lost or now - since <= self.context.settings.lost_after:
            return
        self.lost = True
        _log.warning("server.lost", server=self.server_id, reason=self._trouble)
        self.recovered()
        self._losses = [*(at for at in self._losses if now - at < UNSTEADY_SECONDS), now]
        if len(self._losses) >= UNSTEADY_LOSSES:
            often = f"it was lost {len(self._losses)} times within {UNSTEADY_SECONDS / 60:g} minutes"
            self._losses.clear()
            self.quarantine.begin(Illness.UNSTEADY, often)

    async def _save_health(self) -> None:
        """Nothing is said of a server that answers while its socket is still to be opened."""
        told = self._health()
        if told is None:
            return
        try:
            async with self.context.database.transaction() as tx:
                fresh = await roster.save_health(tx, self.server_id, *told)
                await self._save_memory(tx)
        except (psycopg.Error, OSError) as error:
            _log.info("server.health_not_saved", server=self.server_id, reason=str(error))
            return
        if fresh:
            self.context.wakeups.publish("fleet")

    async def _save_memory(self, tx: Tx) -> None:
        """How much VRAM is free now, as far as it changed."""
        free = machine_of(self._stats).vram_free
        if self.inventory is not None and abs(free - self._free) >= MEMORY_STEP:
            await roster.save_system(tx, self.server_id, self._stats)
            self._free = free

    def _health(self) -> tuple[Health, str] | None:
        if self._trouble_since is not None:
            return Health.OFFLINE, self._trouble[:300]
        if self.quarantine.on:
            return Health.QUARANTINED, self.quarantine.reason
        if self.inventory is None and self._unlisted:
            return Health.DEGRADED, f"it does not say what it can run: {self._unlisted}"[:300]
        if self.hears:
            return Health.READY, ""
        opening = clock.monotonic() - self._opening_since < self.context.settings.lost_after
        if opening and not self._deaf:
            return None
        return Health.DEGRADED, "its WebSocket is blocked: jobs run by polling alone"


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
