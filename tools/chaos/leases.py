"""Leases seen from outside, by the database's clock: who lost one, who has it next, and how long that took."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from atelier.kit import clock
from atelier.kit.database import AWAY, Database

LOOK_SECONDS = 0.2
OVERLOADED_SECONDS = 1.0
"""Later than this, and the machine was too busy for a time to mean anything."""

_LEASES = "SELECT server_id, dispatcher_id, fence, clock_timestamp() FROM leases"
_HELD = """
SELECT l.server_id, l.fence, clock_timestamp() FROM leases l JOIN dispatchers d ON d.id = l.dispatcher_id
WHERE d.name = %s AND d.expires_at > clock_timestamp()
"""
_HOLDER = "SELECT d.name FROM leases l JOIN dispatchers d ON d.id = l.dispatcher_id WHERE l.server_id = %s"


@dataclass(frozen=True, slots=True)
class Loss:
    """A dispatcher died, or froze, while it held this server under this fence."""

    at: dt.datetime
    dispatcher: str
    server: str
    fence: int


@dataclass(frozen=True, slots=True)
class Change:
    """A lease has a new fence."""

    at: dt.datetime
    server: str
    fence: int


@dataclass(slots=True)
class LeaseWatch:
    """`late`: moments at which this process itself was late, and by how many seconds."""

    database: Database
    losses: list[Loss] = field(default_factory=list[Loss])
    changes: list[Change] = field(default_factory=list[Change])
    late: list[tuple[dt.datetime, float]] = field(default_factory=list[tuple[dt.datetime, float]])
    backwards: list[str] = field(default_factory=list[str])
    _fences: dict[str, int] = field(default_factory=dict[str, int])

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            began = clock.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            late = clock.monotonic() - began - LOOK_SECONDS
            if late > OVERLOADED_SECONDS / 2:
                self.late.append((clock.utcnow(), late))
            try:
                await self._look()
            except AWAY:
                continue

    async def mourn(self, dispatcher: str) -> None:
        """Note what this dispatcher holds, just before it dies. While PostgreSQL is away nothing can be noted."""
        known = {(loss.server, loss.fence) for loss in self.losses}
        try:
            async with asyncio.timeout(1.0), self.database.autocommit() as tx:
                rows = await (await tx.execute(_HELD, (dispatcher,))).fetchall()
        except (*AWAY, TimeoutError):
            return
        held = [Loss(at, dispatcher, server, fence) for server, fence, at in rows]
        self.losses += [loss for loss in held if (loss.server, loss.fence) not in known]

    async def holder(self, server: str) -> str | None:
        """The name of the dispatcher that drives this server."""
        try:
            async with asyncio.timeout(1.0), self.database.autocommit() as tx:
                row = await (await tx.execute(_HOLDER, (server,))).fetchone()
        except (*AWAY, TimeoutError):
            return None
        return None if row is None else str(row[0])

    def taken(self, loss: Loss) -> float | None:
        """Seconds from the loss to the next holder's lease; None when nobody took it."""
        for change in self.changes:
            if change.server == loss.server and change.fence > loss.fence:
                return (change.at - loss.at).total_seconds()
        return None

    def overloaded(self, began: dt.datetime, ended: dt.datetime) -> bool:
        return any(began <= at <= ended and late > OVERLOADED_SECONDS for at, late in self.late)

    async def _look(self) -> None:
        async with asyncio.timeout(2.0), self.database.autocommit() as tx:
            rows: Sequence[tuple[str, object, int, dt.datetime]] = await (await tx.execute(_LEASES)).fetchall()
        for server, _, fence, at in rows:
            before = self._fences.get(server, fence)
            if fence < before:
                self.backwards.append(f"the fence of {server} went from {before} to {fence}")
            if fence > before:
                self.changes.append(Change(at, server, fence))
            self._fences[server] = fence
