"""Two transactions at a time, each stopped before every statement and before its commit; a tape says who goes on.

A statement that waits for a lock of the other is recognised by `pg_blocking_pids`, and the other goes on; so what
happens depends on the tape alone and never on how fast this machine is.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import psycopg

from atelier.kit.database import Tx
from atelier.kit.errors import Refusal

PATIENCE = 0.003
"""Seconds after which a statement that has not answered is asked whether it waits for a lock."""

_T = TypeVar("_T")


class Deadlock(AssertionError):  # noqa: N818 - it names what happened
    """Each waits for the other: somebody broke the order of locks."""


class Killed(Exception):  # noqa: N818 - it is no error: processes die
    """The process that ran the transaction was killed between two statements."""


class Tape:
    """Decisions made beforehand; where it ends, the scenario ends."""

    def __init__(self, decisions: bytes) -> None:
        self._decisions = decisions
        self._read = 0

    def __bool__(self) -> bool:
        return self._read < len(self._decisions)

    def choose(self, options: int) -> int:
        """A number below `options`; zero behind the end."""
        self._read += 1
        return self._decisions[self._read - 1] % options if self._read <= len(self._decisions) else 0


class Lane:
    """One connection and the work that is under way on it.

    `broken` replaces pieces of SQL on their way to the server: a test of the checker itself puts a fault there.
    """

    def __init__(self, connection: Tx, observer: Tx, broken: Mapping[str, str]) -> None:
        self.connection = connection
        self.broken_used = 0
        self.committing = False
        self.blocked = False
        self.said: list[str] = []
        self._observer = observer
        self._broken = broken
        self._quiet = asyncio.Event()
        self._turn = asyncio.Semaphore(0)
        self._killed = False
        self._work: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        return self._work is None

    def begin(self, group: asyncio.TaskGroup, name: str, work: Awaitable[None]) -> None:
        """Start work; it stops before its first statement."""
        self.said.append(name)
        self._quiet.clear()
        self._killed = False
        self._work = group.create_task(self._until_done(work))

    async def go_on(self) -> None:
        """One statement, or the commit."""
        self._quiet.clear()
        self._turn.release()
        await self.settle()

    async def kill(self) -> None:
        """The process dies where it stands: its transaction is rolled back."""
        self._killed = True
        await self.go_on()

    async def settle(self) -> None:
        """Until the statement that is under way has answered, or waits for a lock."""
        if self.idle:
            return
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._quiet.wait()
            if self._quiet.is_set():
                self.blocked = False
                return
            if await self._waits_for_a_lock():
                self.blocked = True
                return

    async def transaction(self, step: Callable[[Tx], Awaitable[_T]]) -> _T:
        """Run `step` in a transaction, statement by statement."""
        await self.connection.execute("BEGIN")
        try:
            result = await step(cast("Tx", self))
            self.committing = True
            await self.wait_for_turn()
        except BaseException:
            await self.connection.execute("ROLLBACK")
            raise
        finally:
            self.committing = False
        await self.connection.execute("COMMIT")
        return result

    async def execute(self, query: str, values: Any = None) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        """What a store believes to be its connection."""
        for right, wrong in self._broken.items():
            if right in query:
                query = query.replace(right, wrong)
                self.broken_used += 1
        await self.wait_for_turn()
        return await self.connection.execute(query.encode(), values)

    async def wait_for_turn(self) -> None:
        """Stop here until the explorer lets this lane go on."""
        self._quiet.set()
        await self._turn.acquire()
        if self._killed:
            raise Killed

    async def _until_done(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (Refusal, Killed):
            pass
        except psycopg.Error as error:
            raise AssertionError(f"only PostgreSQL prevented it: {error}") from error
        finally:
            self._work = None
            self._quiet.set()

    async def _waits_for_a_lock(self) -> bool:
        rows = await self._observer.execute(
            "SELECT cardinality(pg_blocking_pids(%s)) > 0", (self.connection.info.backend_pid,)
        )
        return bool((await rows.fetchone() or (False,))[0])
