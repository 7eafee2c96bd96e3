"""The transactions that end an attempt, each asked for again while PostgreSQL is away."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from atelier.dispatch.attempt import Attempt
from atelier.fleet.store import roster
from atelier.jobs import service as jobs
from atelier.jobs.model import Cause, Claim, JobError, Outcome
from atelier.jobs.prompt import Report
from atelier.kit.database import AWAY, Database, Tx

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Trouble:
    """An attempt that failed for a reason that is not its graph's.

    `was_running`: its prompt was what the server ran just then. `vram` (bytes) is what was too little. `event` is
    what the server's log calls it, where that is to know.
    """

    cause: Cause
    evidence: Mapping[str, Any]
    was_running: bool = False
    vram: int = 0
    event: str = ""


class Closing:
    """Each does nothing when somebody else ended the attempt or took it over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def failed(
        self,
        attempt: Attempt,
        outcome: Outcome,
        error: JobError,
        evidence: Mapping[str, Any] | None = None,
        *,
        report: Report | None = None,
    ) -> None:
        """The job ends: it would fail anywhere. `report`: what the client of a native prompt reads of the run."""
        told = {**_where(attempt), **(evidence or {})}
        claim = attempt.claim
        await self._in_transaction(lambda tx: jobs.finish_failed(tx, claim, outcome, error, told, report=report))

    async def crashed(self, claim: Claim, error: JobError, evidence: Mapping[str, Any]) -> None:
        """The job ends by a bug of ours."""
        await self._in_transaction(lambda tx: jobs.finish_failed(tx, claim, Outcome.FAILED, error, dict(evidence)))

    async def retriable(self, attempt: Attempt, trouble: Trouble) -> None:
        """The job waits again, or is given up when it went through enough."""
        claim = attempt.claim
        _log.warning(
            "attempt.failed",
            job=str(claim.job_id),
            number=claim.number,
            cause=str(trouble.cause),
            server=claim.server_id,
        )
        evidence = {**_where(attempt), **trouble.evidence}

        async def step(tx: Tx) -> None:
            await jobs.finish_retriable(
                tx, claim, trouble.cause, was_running=trouble.was_running, evidence=evidence, vram=trouble.vram
            )
            if trouble.event:
                told = {"job": str(claim.job_id), "attempt": claim.number, **evidence}
                await roster.record(tx, claim.server_id, trouble.event, told)

        await self._in_transaction(step)

    async def withdraw(self, attempt: Attempt, reason: str = "", delay: float = 0.0) -> None:
        """The job waits again as if it had not been claimed; with a reason, its followers are told."""
        evidence = {**_where(attempt), "reason": reason} if reason else None
        await self._in_transaction(
            lambda tx: jobs.withdraw(tx, attempt.claim, reason, evidence=evidence, delay=delay)
        )

    async def canceled(self, attempt: Attempt) -> None:
        await self._in_transaction(lambda tx: jobs.finish_canceled(tx, attempt.claim))

    async def _in_transaction(self, step: Callable[[Tx], Awaitable[_T]]) -> _T:
        async def once() -> _T:
            async with self._database.transaction() as tx:
                return await step(tx)

        return await self.insist(once)

    async def insist(self, step: Callable[[], Awaitable[_T]]) -> _T:
        """Until PostgreSQL takes it. The lease bounds this: who lost it is cancelled here."""
        delay = 0.1
        while True:
            try:
                return await step()
            except AWAY as error:
                _log.warning("database.away", reason=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)


def _where(attempt: Attempt) -> dict[str, Any]:
    """What every evidence says: where it was, and for how many seconds it ran."""
    return {"server": attempt.claim.server_id, "seconds": round(attempt.ran(), 3)}
