"""PostgreSQL through one pool per process; a service takes a transaction and never commits it itself."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from atelier.kit.errors import SetupFailed

Tx = psycopg.AsyncConnection[tuple[Any, ...]]
"""A connection inside a transaction. Whoever opened the transaction commits it."""

POOL_SIZE = 8


class Database:
    """The pool. `transaction()` is the only way in; no connection is held over a network wait."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE, listen_url: str | None = None) -> None:
        self.url = url
        self.listen_url = listen_url or url
        self._prepare = None if listen_url else 2
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=30,
            kwargs={"prepare_threshold": self._prepare, "application_name": "atelier"},
            configure=_configure,
            check=None,
        )

    async def open(self) -> None:
        try:
            await self._pool.open(wait=True, timeout=10)
        except psycopg.Error as error:
            await self._pool.close()
            raise SetupFailed(f"PostgreSQL does not answer at {_without_password(self.url)}: {error}") from error

    async def close(self) -> None:
        await self._pool.close()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Tx]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def autocommit(self) -> AsyncGenerator[Tx]:
        """A connection on which every single statement is its own transaction (one round trip)."""
        async with self._pool.connection() as connection:
            yield connection

    async def connect(self) -> Tx:
        """A connection of its own outside the pool (LISTEN, NOTIFY), at the direct address; the caller closes."""
        return await psycopg.AsyncConnection.connect(
            self.listen_url, autocommit=True, application_name="atelier-wakeups"
        )


async def _configure(connection: Tx) -> None:
    await connection.set_autocommit(True)
    await connection.execute(
        sql.SQL("SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '30s'")
    )


def _without_password(url: str) -> str:
    info = conninfo_to_dict(url)
    return f"{info.get('host', 'localhost')}:{info.get('port', 5432)}/{info.get('dbname', '')}"
