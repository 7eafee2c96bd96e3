"""PostgreSQL through one pool per process; a service takes a transaction and never commits it itself."""

import asyncio
import contextlib
import select
from collections.abc import AsyncGenerator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import IdleInTransactionSessionTimeout, ReadOnlySqlTransaction
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from atelier.kit import clock
from atelier.kit.errors import SetupFailed

Tx = psycopg.AsyncConnection[tuple[Any, ...]]
"""A connection inside a transaction. Whoever opened the transaction commits it."""

AWAY = (psycopg.OperationalError, IdleInTransactionSessionTimeout, ReadOnlySqlTransaction, OSError)
"""What is raised while PostgreSQL, or the way to it, is away; the same may work later.

A pool without a connection (PoolTimeout) is an OperationalError. A process that was frozen inside a transaction
finds it ended; a primary that became a standby refuses to write.
"""

POOL_SIZE = 8
START_SECONDS = 10.0
WAIT_SECONDS = 30.0
RECONNECT_SECONDS = 5.0
"""The pool doubles its pauses between attempts; giving up this early keeps them short, and who asks tries anew."""

ASK_AGAIN_SECONDS = 2.0
"""Who waits asks anew: a pool that has given up all its attempts makes none for those who wait already."""

KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""Seconds, and milliseconds for the last. Sockets of this machine ignore them."""

_SESSION = sql.SQL(
    "SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '30s'; SET enable_seqscan = off"
)

FINAL = ("authentication failed", "does not exist", "no pg_hba.conf entry")
"""Words of a server that will not change its mind within seconds; libpq gives no SQLSTATE for a connection."""


class Database:
    """The pool. `transaction()` is the only way in; no connection is held over a network wait."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE, listen_url: str | None = None) -> None:
        self.url = url
        self.listen_url = listen_url or url
        self._prepare = None if listen_url else 2
        self._place = _without_password(url)
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            kwargs={"prepare_threshold": self._prepare, "application_name": "atelier", **_alive(url)},
            configure=_configure,
        )

    async def open(self) -> None:
        """`SetupFailed` with the server's own reason when it does not let us in within ten seconds."""
        await self._first_contact()
        try:
            await self._pool.open(wait=True, timeout=START_SECONDS)
        except psycopg.Error as error:
            await self._pool.close()
            raise _away(self._place, error) from error

    async def close(self) -> None:
        await self._pool.close()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Tx]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def autocommit(self) -> AsyncGenerator[Tx]:
        """A connection on which every single statement is its own transaction (one round trip)."""
        async with self._connection() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncGenerator["Database"]:
        """The same with one connection of its own, for what must not wait behind everything else.

        PostgreSQL may be away when it is asked for.
        """
        own = Database(self.url, pool_size=1, listen_url=self.listen_url if self._prepare is None else None)
        await own._pool.open()
        try:
            yield own
        finally:
            await own.close()

    async def connect(self) -> Tx:
        """A connection of its own outside the pool (LISTEN, NOTIFY), at the direct address; the caller closes."""
        return await psycopg.AsyncConnection.connect(
            self.listen_url,
            autocommit=True,
            application_name="atelier-wakeups",
            connect_timeout=10,
            **_alive(self.listen_url),
        )

    async def _first_contact(self) -> None:
        """The pool keeps the reasons of its failures to itself; this asks for one, and waits for a late server."""
        reason: psycopg.Error | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while reason is None or not any(words in str(reason) for words in FINAL):
                    try:
                        await (await psycopg.AsyncConnection.connect(self.url)).close()
                    except psycopg.Error as error:
                        reason = error
                        await asyncio.sleep(0.2)
                    else:
                        return
        raise _away(self._place, reason) from reason

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Tx]:
        """A connection that the server has not closed meanwhile: a restart costs a reconnect, not an error."""
        while True:
            async with contextlib.AsyncExitStack() as held:
                connection = await self._taken(held)
                if not _hung_up(connection):
                    yield connection
                    return
                await connection.close()

    async def _taken(self, held: contextlib.AsyncExitStack) -> Tx:
        """A connection of the pool, which has it back when `held` is left. Raises PoolTimeout.

        The pool waits by `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes at the
        moment of success (CPython issue 86296): whoever was cancelled here would go on for ever.
        """
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        until = clock.monotonic() + WAIT_SECONDS
        while True:
            patience = max(min(ASK_AGAIN_SECONDS, until - clock.monotonic()), 0.0)
            try:
                connection = await held.enter_async_context(self._pool.connection(timeout=patience))
            except PoolTimeout:
                if clock.monotonic() >= until:
                    raise
            else:
                if task and task.cancelling() > cancelled:
                    raise asyncio.CancelledError
                return connection


async def _configure(connection: Tx) -> None:
    """Every question of ours has its index: no plan made while a table was small may read all of it later."""
    await connection.set_autocommit(True)
    await connection.execute(_SESSION)


def _hung_up(connection: Tx) -> bool:
    """Whether the server closed this idle connection, seen without asking it anything (microseconds)."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    try:
        while poll.poll(0):
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False


def _alive(url: str) -> dict[str, Any]:
    """How a machine that vanished is noticed within half a minute; what the URL says about it wins."""
    said = conninfo_to_dict(url)
    return {name: value for name, value in KEEPALIVE.items() if name not in said}


def _away(place: str, reason: psycopg.Error | None) -> SetupFailed:
    """PostgreSQL's own first line; what follows it there are questions to the reader."""
    said = str(reason).strip().splitlines()[0] if reason and str(reason).strip() else "no reply"
    return SetupFailed(f"PostgreSQL does not answer at {place} ({said}): start it, or correct its address")


def _without_password(url: str) -> str:
    try:
        info = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise SetupFailed(
            f"the database URL cannot be read ({str(error).strip()}):"
            " write postgresql://user:password@host:5432/database"
        ) from error
    return f"{info.get('host', 'localhost')}:{info.get('port', 5432)}/{info.get('dbname', '')}"
