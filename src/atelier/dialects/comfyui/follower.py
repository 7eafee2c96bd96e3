"""What happens to one account's jobs is read here as soon as it happens, once for all its sockets in this process.

An end is told when it was read: then its history can be read too, by anybody (wire contract 5). While PostgreSQL
is away the sockets stay, and what ended meanwhile is told when it is back.
"""

import asyncio
import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import structlog

from atelier.dialects.comfyui.audience import Audience
from atelier.dialects.comfyui.runs import Run
from atelier.jobs import native
from atelier.jobs.native import Entry
from atelier.jobs.relay import Frame, Relay
from atelier.jobs.store.glance import glance
from atelier.kit import clock
from atelier.kit.database import AWAY, Database, Tx
from atelier.kit.ids import AccountId
from atelier.kit.wakeups import Subscription, Wakeups

STATUS_SECONDS = 0.2
"""Editors ask for their lists at each status: no two broadcasts are closer (wire contract 13)."""

LATELY_SECONDS = 3.0
"""An end is as old as the transaction that wrote it, and seen when that is committed."""

LONG_AGO_SECONDS = 60.0
POLL_SECONDS = 5.0
LINGER_SECONDS = 10.0
"""An editor whose socket breaks is back after 300 ms."""

AGAIN_SECONDS = 1.0

SOON_SECONDS = 0.015
"""While nothing runs, news are of the queue's length alone: they wait for what else comes at once."""

News = tuple[int, Sequence[Entry]]
"""How many jobs are left, and what ended."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    database: Database
    wakeups: Wakeups
    relay: Relay


class Follower:
    """Follows one account for as long as it has sockets here, and some seconds more."""

    def __init__(self, ground: Ground, account_id: AccountId) -> None:
        self.audience = Audience()
        self.ready = asyncio.Event()
        """Set when everything that happens from here on is told."""

        self._ground = ground
        self._account_id = account_id
        self._guests = 0
        self._left_at = clock.monotonic()
        self._opened = False
        self._looked_at = 0.0
        self._swept_at = 0.0
        self._status_due: float | None = None
        self._status_told = 0.0

    async def run(self) -> None:
        """Until nobody has been here for a while."""
        while not self._deserted():
            try:
                await self._listen()
            except AWAY as error:
                await self._absent(error)

    @contextlib.contextmanager
    def visited(self) -> Generator[None]:
        """Somebody is here, or waits to be let in."""
        self._guests += 1
        try:
            yield
        finally:
            self._guests -= 1
            self._left_at = clock.monotonic()

    def submitted(self, run: Run) -> None:
        """A prompt that was accepted here just now."""
        if self._opened:
            self.audience.expect(run)

    async def _listen(self) -> None:
        with self._ground.wakeups.subscribe(f"account:{self._account_id}") as news:
            async with self._ground.relay.listen(self._account_id, self._hear):
                called = False
                while not self._deserted():
                    try:
                        await self._read(called=called)
                    except AWAY as error:
                        await self._absent(error)
                        called = True
                    else:
                        self.ready.set()
                        called = await self._wait(news)

    async def _absent(self, error: Exception) -> None:
        _log.info("sockets.database_away", account=str(self._account_id), reason=str(error))
        await asyncio.sleep(AGAIN_SECONDS)

    async def _wait(self, news: Subscription) -> bool:
        """True when called, False when it is time to look without that; meanwhile the status is told when due."""
        while True:
            self._tell_status()
            due = POLL_SECONDS if self._status_due is None else self._status_due - clock.monotonic()
            if await news.wait(min(max(due, 0.0), POLL_SECONDS)):
                if not self.audience.runs.begun():
                    await news.wait(SOON_SECONDS)
                return True
            if self._status_due is None:
                return False

    # Reading -----------------------------------------------------------------------------------

    async def _read(self, *, called: bool) -> None:
        began = clock.monotonic()
        if self._opened:
            await self._look(began, called=called)
        else:
            await self._open()
        self._looked_at = began

    async def _open(self) -> None:
        """What runs now; and what had ended before anybody came, which is told to nobody."""
        async with self._ground.database.autocommit() as tx:
            live = await native.live(tx, self._account_id)
            seen = await glance(tx, self._account_id, LONG_AGO_SECONDS)
        for job_id in seen.ended:
            self.audience.runs.ended(job_id)
        self._opened = True
        for one in live:
            run = Run(one.job_id, one.prompt_id, one.client_id, began=one.began, whole=not one.began)
            self.audience.expect(run)
        self.audience.remaining = seen.remaining

    async def _look(self, now: float, *, called: bool) -> None:
        """What ended since the last look. From time to time, and after an absence, farther back and at all."""
        since = now - self._looked_at
        sweep = since > POLL_SECONDS / 2 or now - self._swept_at > POLL_SECONDS
        async with self._ground.database.autocommit() as tx:
            remaining, entries = await (self._swept(tx, since) if sweep else self._news(tx, since))
        if entries:
            await self._ground.relay.catch_up([entry.job.id for entry in entries])
        self._tell(remaining, entries, called=called)
        self._swept_at = now if sweep else self._swept_at

    async def _news(self, tx: Tx, since: float) -> News:
        """One read, for whose answer every end waits."""
        seconds = since + LATELY_SECONDS
        told = self.audience.runs.told_within(seconds + 1)
        return await native.news(tx, self._account_id, seconds=seconds, told=told)

    async def _swept(self, tx: Tx, since: float) -> News:
        """Also what no look saw within a minute, and prompts that ended without being in the history."""
        seen = await glance(tx, self._account_id, since + LONG_AGO_SECONDS)
        untold = self.audience.runs.untold([*seen.ended, *self.audience.runs.begun()])
        entries = await native.ended(tx, self._account_id, untold) if untold else ()
        return seen.remaining, entries

    def _tell(self, remaining: int, entries: Sequence[Entry], *, called: bool) -> None:
        if called or remaining != self.audience.remaining:
            self.audience.remaining = remaining
            self.audience.version += 1
            if self._status_due is None:
                self._status_due = self._status_told + STATUS_SECONDS
        for entry in entries:
            self.audience.end(entry)

    def _tell_status(self) -> None:
        """At once when the last was long ago; what changes sooner is told together, and the last state always."""
        now = clock.monotonic()
        if self._status_due is not None and now >= self._status_due:
            self._status_due, self._status_told = None, now
            self.audience.tell_status()

    def _hear(self, frame: Frame) -> None:
        if self._opened:
            self.audience.hear(frame)
        else:
            self.audience.runs.keep(frame)

    def _deserted(self) -> bool:
        return not self._guests and clock.monotonic() - self._left_at > LINGER_SECONDS
