"""Wake-ups: small hints that something changed; whoever waits reads the truth from PostgreSQL.

Subscribers in this process hear at once. Other processes hear through NOTIFY, which is sent after the commit, on
a connection of its own: at once, and then in batches of one per 10 ms. A lost hint is healed by the waiter's own
timeout.
"""

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterable

import psycopg
import structlog

from atelier.kit.database import Database, Tx

CHANNEL = "atelier_wakeups"
BATCH_SECONDS = 0.01
MAX_PAYLOAD = 200
SEND_SECONDS = 5.0
"""A connection that takes longer is given up for a new one."""

_log = structlog.get_logger(__name__)


class Subscription:
    """A level-triggered flag: set by every wake-up on its topic, cleared by the wait that saw it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.topics: frozenset[str] = frozenset()
        """What wakes it."""

    def wake(self) -> None:
        self._event.set()

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - a wait without its bound cannot be written
        """True when woken, False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Wakeups:
    """The bus of one process. Topics look like `job:<uuid>` or `queue`; they carry no data."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._origin = f"{os.getpid():x}{os.urandom(3).hex()}"
        self._subscribers: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._outbox: dict[str, None] = {}
        self._filled = asyncio.Event()

    def publish(self, topic: str) -> None:
        """Wake whoever waits on `topic`, here now and elsewhere within about 10 ms. Call it after the commit."""
        self._deliver(topic)
        self._outbox[topic] = None
        self._filled.set()

    @contextlib.contextmanager
    def subscribe(self, *topics: str) -> Generator[Subscription]:
        subscription = Subscription()
        self.retune(subscription, topics)
        try:
            yield subscription
        finally:
            self.retune(subscription, ())

    def retune(self, subscription: Subscription, topics: Iterable[str]) -> None:
        """From now on exactly these topics wake it. Read the truth afterwards: what came before woke nobody."""
        wanted = frozenset(topics)
        for topic in subscription.topics - wanted:
            self._subscribers[topic].discard(subscription)
            if not self._subscribers[topic]:
                del self._subscribers[topic]
        for topic in wanted - subscription.topics:
            self._subscribers[topic].add(subscription)
        subscription.topics = wanted

    async def run(self) -> None:
        """Carry wake-ups between processes until cancelled; a lost connection is made again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._listen))
            group.create_task(self._forever(self._send))

    def _deliver(self, topic: str) -> None:
        for subscription in self._subscribers.get(topic, ()):
            subscription.wake()

    async def _forever(self, step: Callable[[Tx], Awaitable[None]]) -> None:
        while True:
            try:
                async with await self._database.connect() as connection:
                    await step(connection)
            except (psycopg.Error, OSError) as error:
                _log.info("wakeups.reconnecting", reason=str(error))
            await asyncio.sleep(0.5)

    async def _listen(self, connection: Tx) -> None:
        await connection.execute(f"LISTEN {CHANNEL}")
        self._wake_everybody()
        async for notice in connection.notifies():
            origin, _, topic = notice.payload.partition(" ")
            if origin != self._origin:
                self._deliver(topic)

    def _wake_everybody(self) -> None:
        for subscribers in self._subscribers.values():
            for subscription in subscribers:
                subscription.wake()

    async def _send(self, connection: Tx) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            topics, self._outbox = self._outbox, {}
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._notify(connection, topics)
            except BaseException:
                self._outbox = topics | self._outbox  # a connection that breaks meanwhile loses none
                self._filled.set()
                raise
            await asyncio.sleep(BATCH_SECONDS)

    async def _notify(self, connection: Tx, topics: Iterable[str]) -> None:
        payloads = [f"{self._origin} {topic}"[:MAX_PAYLOAD] for topic in topics]
        await connection.execute(
            "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload", (CHANNEL, payloads)
        )
