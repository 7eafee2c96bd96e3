"""How an attempt's end becomes the job's end: one transaction, asked for again while PostgreSQL is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from atelier.comfy.catalog import as_list, as_object
from atelier.comfy.client import Failed, HistoryEntry, Interrupted, Success
from atelier.comfy.errors import ComfyError, FailureKind, LostServer, Rejected, sort_failure
from atelier.dispatch.attempt import Attempt, End, Gone, NotPlaced, NotSent
from atelier.dispatch.collect import Shelf, collect
from atelier.jobs import service as jobs
from atelier.jobs.model import Cause, Claim, JobError, Made, Outcome
from atelier.kit.database import AWAY, Database, Tx
from atelier.kit.errors import Refusal
from atelier.storage.model import Storage, StorageUnavailable

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")
MAX_TRACEBACK = 20_000
PAUSE_SECONDS = 0.25
"""A server that refuses connections, and yet answers on old ones, is not offered the same job in a hot loop."""

FETCHES = 5
"""How often a server that lives may break off the download of one run's outputs."""


class Ending:
    """Turns what happened on the server into what is true for everybody."""

    def __init__(self, database: Database, storage: Storage, output_limit: int) -> None:
        self._database = database
        self._shelf = Shelf(database, storage, output_limit)

    async def finish(self, attempt: Attempt, end: End | None) -> None:
        """End the attempt in the database. Does nothing when somebody else ended it or took it over."""
        match end:
            case None:
                await self._canceled(attempt.claim)
            case Gone():
                await self._gone(attempt, end)
            case NotSent():
                await asyncio.sleep(PAUSE_SECONDS)
                await self._withdraw(attempt.claim)
            case NotPlaced():
                await self._not_placed(attempt, end)
            case Rejected():
                await self._failed(attempt.claim, Outcome.REJECTED, _rejection(end), end.node_errors)
            case HistoryEntry():
                await self._judge(attempt, end)

    async def _judge(self, attempt: Attempt, entry: HistoryEntry) -> None:
        match entry.verdict:
            case Success():
                await self._collect(attempt, entry)
            case Interrupted():
                await self._interrupted(attempt)
            case Failed(data):
                await self._run_failed(attempt, dict(data))

    async def _not_placed(self, attempt: Attempt, end: NotPlaced) -> None:
        if end.cause is not None:
            await self._retriable(attempt, end.cause, {"while": "placing inputs", "reason": end.reason})
        else:
            told = JobError("input_unavailable", f"An input could not be brought to the server: {end.reason}")
            await self._failed(attempt.claim, Outcome.FAILED, told, None)

    async def crashed(self, claim: Claim, error: Exception) -> None:
        """A bug of ours: the job ends, its hold is released, the log has the rest."""
        told = JobError(
            "internal_error", "Atelier failed while it handled this job; the operator's log says more."
        )
        await self._failed(claim, Outcome.FAILED, told, {"exception": repr(error)[:500]})

    async def _collect(self, attempt: Attempt, entry: HistoryEntry) -> None:
        broken = 0
        while True:
            try:
                made = await self._insist(lambda: self._fetched(attempt, entry))
            except LostServer as lost:
                attempt.host.trouble(str(lost))
                broken += 1
                if attempt.host.lost or broken >= FETCHES:
                    await self._retriable(attempt, Cause.SERVER_LOST, {"while": "collecting", "reason": str(lost)})
                    return
                await asyncio.sleep(1.0)
            except StorageUnavailable as refusal:
                await self._retriable(attempt, Cause.STORAGE, {"reason": refusal.message})
                return
            except Refusal as refusal:
                await self._failed(attempt.claim, Outcome.FAILED, JobError(refusal.code, refusal.message), None)
                return
            except ComfyError as error:
                await self._output_gone(attempt, error)
                return
            else:
                await self._succeed(attempt, made)
                return

    async def _fetched(self, attempt: Attempt, entry: HistoryEntry) -> list[Made]:
        return await collect(attempt.host.client, self._shelf, entry, attempt.frames)

    async def _output_gone(self, attempt: Attempt, error: ComfyError) -> None:
        """A cached run lists files that somebody deleted: without its cache the server makes them again."""
        try:
            await attempt.host.client.free(unload_models=False, free_memory=True)
        except ComfyError as trouble:
            attempt.host.trouble(str(trouble))
        await self._retriable(attempt, Cause.OUTPUT_GONE, {"reason": str(error)})

    async def _succeed(self, attempt: Attempt, made: list[Made]) -> None:
        if not await self._insist(lambda: jobs.succeed(self._database, attempt.claim, made, attempt.ran())):
            await self._canceled(attempt.claim)

    async def _gone(self, attempt: Attempt, gone: Gone) -> None:
        began = attempt.started_at is not None
        if gone is Gone.LOST:
            await self._retriable(attempt, Cause.SERVER_LOST, None, was_running=began)
        elif attempt.cancel_asked:
            await self._canceled(attempt.claim)
        elif attempt.timed_out:
            await self._interrupted(attempt)
        elif not began and (attempt.withdraw_asked or attempt.adopted):
            await self._withdraw(attempt.claim)
        else:
            await self._retriable(attempt, Cause.PROMPT_GONE, None, was_running=began)

    async def _run_failed(self, attempt: Attempt, data: dict[str, Any]) -> None:
        failure = sort_failure(data)
        evidence = {"exception_type": failure.exception_type, "message": failure.message[:2000]}
        match failure.kind:
            case FailureKind.OUT_OF_MEMORY:
                await self._free(attempt)
                await self._retriable(attempt, Cause.OUT_OF_MEMORY, evidence)
            case FailureKind.CUDA_FAULT:
                await self._retriable(attempt, Cause.SERVER_LOST, evidence, was_running=True)
            case FailureKind.FAILED_NODE:
                error = JobError(
                    "node_execution_error",
                    f"{failure.exception_type}: {failure.message}"[:2000],
                    failure.node_id,
                    failure.node_type,
                    _traceback(data),
                )
                await self._failed(attempt.claim, Outcome.FAILED, error, evidence)

    async def _free(self, attempt: Attempt) -> None:
        try:
            await attempt.host.client.free(unload_models=True, free_memory=True)
        except ComfyError as error:
            attempt.host.trouble(str(error))

    async def _interrupted(self, attempt: Attempt) -> None:
        if attempt.timed_out:
            limit = attempt.host.settings.run_timeout or 0.0
            error = JobError(
                "timed_out", f"The run took longer than the {limit:g} s that it may, and was stopped."
            )
            await self._failed(attempt.claim, Outcome.TIMED_OUT, error, None)
        else:
            error = JobError("interrupted", "The run was interrupted on the server, not through Atelier.")
            await self._failed(attempt.claim, Outcome.FAILED, error, None)

    async def _failed(self, claim: Claim, outcome: Outcome, error: JobError, evidence: Any) -> None:
        told = {"evidence": evidence} if evidence else None
        await self._in_transaction(lambda tx: jobs.finish_failed(tx, claim, outcome, error, told))

    async def _retriable(
        self, attempt: Attempt, cause: Cause, evidence: dict[str, Any] | None, *, was_running: bool = False
    ) -> None:
        _log.warning(
            "attempt.failed",
            job=str(attempt.claim.job_id),
            number=attempt.claim.number,
            cause=str(cause),
            server=attempt.claim.server_id,
        )
        await self._in_transaction(
            lambda tx: jobs.finish_retriable(tx, attempt.claim, cause, was_running=was_running, evidence=evidence)
        )

    async def _withdraw(self, claim: Claim) -> None:
        await self._in_transaction(lambda tx: jobs.withdraw(tx, claim))

    async def _canceled(self, claim: Claim) -> None:
        await self._in_transaction(lambda tx: jobs.finish_canceled(tx, claim))

    async def _in_transaction(self, step: Callable[[Tx], Awaitable[_T]]) -> _T:
        async def once() -> _T:
            async with self._database.transaction() as tx:
                return await step(tx)

        return await self._insist(once)

    async def _insist(self, step: Callable[[], Awaitable[_T]]) -> _T:
        """Until PostgreSQL takes it. The lease bounds this: who lost it is cancelled here."""
        delay = 0.1
        while True:
            try:
                return await step()
            except AWAY as error:
                _log.warning("database.away", reason=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)


def _rejection(rejected: Rejected) -> JobError:
    message = str(rejected.error.get("message") or "The server refused the workflow.")
    details = str(rejected.error.get("details") or "")
    node_id = next(iter(rejected.node_errors), None)
    node = as_object(rejected.node_errors.get(node_id)) if node_id else None
    return JobError(
        "invalid_workflow",
        f"{message}: {details}" if details else message,
        node_id,
        str(node["class_type"]) if node and "class_type" in node else None,
    )


def _traceback(data: dict[str, Any]) -> str | None:
    lines = as_list(data.get("traceback"))
    return "".join(str(line) for line in lines)[-MAX_TRACEBACK:] if lines else None
