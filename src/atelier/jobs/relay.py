"""What servers say of running jobs reaches their owners' sockets, wherever those are, or is lost; never late.

Listeners in this process hear at once, in the call that sends. Other processes find the messages in a table for
some seconds, in batches, woken by a topic of their own; nothing is written for accounts that nobody listens for.
The truth about a job is in its row: who misses messages reads it there.
"""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

import psycopg
import structlog

from atelier.jobs.outbox import Frame, FrameKind, Outbox
from atelier.jobs.store import relayed
from atelier.jobs.store.relayed import Row
from atelier.kit import clock
from atelier.kit.database import AWAY, Database
from atelier.kit.ids import AccountId, JobId, new_uuid
from atelier.kit.wakeups import Wakeups

__all__ = ["Frame", "FrameKind", "Hear", "Relay"]

Hear = Callable[[Frame], None]

BATCH_SECONDS = 0.03
RENEW_SECONDS = 5.0
REFRESH_SECONDS = 3.0
POLL_SECONDS = 1.0
KEPT_SECONDS = 30.0
CLEAN_SECONDS = 10.0
STALE_SECONDS = 5.0
"""Messages that could not be written for so long are of no use to anybody."""

FLUSH_SECONDS = 0.5
"""Nobody waits longer for others to be told."""

MAX_ENDED = 10_000
"""Jobs that are remembered to have ended here."""

TOPIC = "listeners"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Audience:
    """Who hears of one account here. `since`: the last number of each origin when the first came."""

    ears: list[Hear] = field(default_factory=list[Hear])
    since: Mapping[uuid.UUID, int] = field(default_factory=dict[uuid.UUID, int])
    registered: bool = False


class Relay:
    """One per process; `run` must run for other processes to hear and be heard."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._me = new_uuid()
        self._here: dict[AccountId, _Audience] = {}
        self._elsewhere: dict[AccountId, frozenset[uuid.UUID]] = {}
        self._outbox = Outbox(clock.monotonic)
        self._filled = asyncio.Event()
        self._seq = 0
        self._written: deque[tuple[float, int]] = deque()
        self._cursors: dict[uuid.UUID, int] = {}
        self._registering = asyncio.Lock()
        self._hurried = asyncio.Event()
        self._flushes: list[asyncio.Future[None]] = []
        self._busy = False
        self._reading = asyncio.Lock()
        self._left = asyncio.Event()
        self._ended: dict[JobId, None] = {}

    # Sending -----------------------------------------------------------------------------------

    def wanted(self, account_id: AccountId) -> bool:
        """Whether anybody listens for this account, as far as is known here."""
        return account_id in self._here or account_id in self._elsewhere

    async def look(self, account_id: AccountId) -> bool:
        """`wanted`, asked anew where nobody is known yet. PostgreSQL being away is a no."""
        if not self.wanted(account_id):
            with contextlib.suppress(*AWAY):
                async with self._database.autocommit() as connection:
                    self._elsewhere |= await relayed.listeners(connection, self._me, account_id)
        return self.wanted(account_id)

    def send(self, frame: Frame) -> None:
        """Give a message to everybody who listens for its account."""
        self._deliver(frame)
        if frame.account_id in self._elsewhere:
            self._outbox.put(frame)
            self._filled.set()

    async def flush(self, job_id: JobId) -> None:
        """Until others can read what was sent so far: this job is ended next, by this process."""
        if len(self._ended) >= MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[job_id] = None
        if not (len(self._outbox) or self._busy):
            return
        done = asyncio.get_running_loop().create_future()
        self._flushes.append(done)
        self._filled.set()
        self._hurried.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await done

    # Listening ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def listen(self, account_id: AccountId, hear: Hear) -> AsyncGenerator[None]:
        """`hear` gets every message of the account's jobs, in order per job, from here on.

        It is called in the loop and must not wait. All dispatchers can know of it when the block begins. Raises
        what Database raises while PostgreSQL is away.
        """
        audience = self._here.setdefault(account_id, _Audience())
        audience.ears.append(hear)
        try:
            if not audience.registered:
                await self._register()
                self._wakeups.publish(TOPIC)
            yield
        finally:
            audience.ears.remove(hear)
            if not audience.ears and self._here.get(account_id) is audience:
                del self._here[account_id]
                self._left.set()

    async def catch_up(self, jobs: Collection[JobId] = ()) -> None:
        """Hear now what other processes have written: whoever learned of an end by another way asks first.

        Nothing is asked where all these jobs were ended by this process.
        """
        if self._here and not (jobs and self._ended.keys() >= set(jobs)):
            with contextlib.suppress(*AWAY):
                await self._read()

    def _deliver(self, frame: Frame) -> None:
        audience = self._here.get(frame.account_id)
        for hear in tuple(audience.ears) if audience else ():
            try:
                hear(frame)
            except Exception:  # noqa: BLE001 - a listener's bug must not end the run that is told of
                _log.exception("relay.listener_failed", job=str(frame.job_id))

    # Its tasks ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write, read, and keep up with who listens, until cancelled; PostgreSQL may come and go."""
        async with asyncio.TaskGroup() as group:
            for step in (self._write_next, self._read_next, self._follow, self._renew, self._clean):
                group.create_task(self._forever(step))

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (psycopg.Error, OSError) as error:
                _log.info("relay.not_done", step=step.__name__, reason=str(error))
                await asyncio.sleep(POLL_SECONDS)

    async def _write_next(self) -> None:
        await self._filled.wait()
        self._filled.clear()
        self._hurried.clear()
        flushes, self._flushes = self._flushes, []
        self._busy = True
        try:
            await self._write([self._row(frame) for frame in self._outbox.take()])
        finally:
            self._busy = False
            for done in flushes:
                if not done.done():
                    done.set_result(None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_SECONDS):
                await self._hurried.wait()

    async def _write(self, rows: list[Row]) -> None:
        """Asked again for as long as it is of use, with the same numbers: perhaps only the answer was lost."""
        until = clock.monotonic() + STALE_SECONDS
        while rows:
            try:
                async with self._database.autocommit() as connection:
                    await relayed.write(connection, self._me, rows)
                break
            except AWAY:
                if clock.monotonic() >= until:
                    raise
                await asyncio.sleep(BATCH_SECONDS * 10)
        if rows:
            self._written.append((clock.monotonic(), rows[-1].seq))
        for process in {one for row in rows for one in self._elsewhere.get(row.account_id, ())}:
            self._wakeups.publish(f"relay:{process}")

    def _row(self, frame: Frame) -> Row:
        self._seq += 1
        text = isinstance(frame.body, str)
        body = frame.body.encode("utf-8", "replace") if isinstance(frame.body, str) else frame.body
        return Row(self._seq, frame.account_id, frame.job_id, frame.client_id, frame.kind, text, body)

    async def _read_next(self) -> None:
        with self._wakeups.subscribe(f"relay:{self._me}") as woken:
            while True:
                await woken.wait(POLL_SECONDS)
                if self._here:
                    await self._read()

    async def _read(self) -> None:
        async with self._reading:
            async with self._database.autocommit() as connection:
                ends, found = await relayed.read(connection, self._me, self._here, self._cursors)
            self._cursors = ends
            for origin, row in found:
                audience = self._here.get(row.account_id)
                if audience and audience.registered and row.seq > audience.since.get(origin, 0):
                    self._deliver(_frame(row))

    async def _register(self) -> None:
        """All accounts that are listened for here, and no others; what was sent before is nobody's here."""
        async with self._registering:
            audiences = dict(self._here)
            async with self._database.transaction() as tx:
                await relayed.register(tx, self._me, audiences)
                ends = await relayed.ends(tx)
            for audience in audiences.values():
                if not audience.registered:
                    audience.since, audience.registered = ends, True

    async def _renew(self) -> None:
        if self._here or self._left.is_set():
            self._left.clear()
            await self._register()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RENEW_SECONDS):
                await self._left.wait()

    async def _follow(self) -> None:
        with self._wakeups.subscribe(TOPIC) as woken:
            while True:
                async with self._database.autocommit() as connection:
                    self._elsewhere = await relayed.listeners(connection, self._me)
                await woken.wait(REFRESH_SECONDS)

    async def _clean(self) -> None:
        """Own rows by their numbers; what others left who are gone, by its age."""
        old = 0
        while self._written and clock.monotonic() - self._written[0][0] > KEPT_SECONDS:
            old = self._written.popleft()[1]
        async with self._database.autocommit() as connection:
            if old:
                await relayed.forget(connection, self._me, old)
            await relayed.forget_old(connection)
        await asyncio.sleep(CLEAN_SECONDS)


def _frame(row: Row) -> Frame:
    body = row.body.decode("utf-8", "replace") if row.is_text else row.body
    return Frame(row.account_id, row.job_id, row.client_id, FrameKind(row.kind), body)
