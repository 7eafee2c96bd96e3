"""When a server began a run is written down a moment later; one that succeeds before tells both at its end."""

import asyncio
from collections.abc import Coroutine
from typing import Protocol

import psycopg
import structlog

from atelier.dispatch.attempt import Attempt
from atelier.dispatch.context import Context
from atelier.jobs.model import Claim
from atelier.jobs.store import attempts

TOLD_AFTER = 0.1
"""A run this short (seconds) costs one statement and one wake-up of all who listen less."""

_log = structlog.get_logger(__name__)


class Spawn(Protocol):
    """How work is begun that ends with its driver; None when that has stopped."""

    def __call__(self, work: Coroutine[None, None, None], /) -> asyncio.Task[None] | None: ...


class Beginnings:
    """Of the attempts of one driver."""

    def __init__(self, context: Context, spawn: Spawn) -> None:
        self._context = context
        self._spawn = spawn

    def note(self, attempt: Attempt) -> None:
        """The server began it just now."""
        loop = asyncio.get_running_loop()
        attempt.started_timer = loop.call_later(TOLD_AFTER, self._tell, attempt)

    def _tell(self, attempt: Attempt) -> None:
        attempt.started_write = self._spawn(self._write(attempt.claim))

    async def settle(self, attempt: Attempt, *, succeeded: bool) -> None:
        """A start comes before its end in the job's events; only one of a success may be told by the end alone."""
        untold = attempt.forget_start()
        if attempt.started_write is not None:
            await attempt.started_write
        elif untold and not succeeded:
            await self._write(attempt.claim)

    async def _write(self, claim: Claim) -> None:
        try:
            async with self._context.database.autocommit() as connection:
                await attempts.running(connection, claim)
        except (psycopg.Error, OSError) as error:
            _log.info("attempt.start_not_written", job=str(claim.job_id), reason=str(error))
            return
        self._context.wakeups.publish(f"account:{claim.account_id}")
        self._context.wakeups.publish(f"job:{claim.job_id}")
