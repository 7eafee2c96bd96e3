"""What the rest of Atelier may ask of jobs. A service takes a transaction and never commits it."""

import json
from collections.abc import Sequence
from typing import Any

from atelier.jobs import rules
from atelier.jobs.model import (
    Cause,
    Claim,
    Event,
    Failed,
    GiveUp,
    Job,
    JobError,
    JobState,
    Made,
    NewJob,
    Outcome,
    Page,
    Preview,
    Progress,
)
from atelier.jobs.outflow import Outflow
from atelier.jobs.prompt import Report
from atelier.jobs.store import attempts, claims, live, reads
from atelier.jobs.store import listing as lists
from atelier.jobs.store import submit as submits
from atelier.jobs.store.listing import Wanted
from atelier.kit import clock
from atelier.kit.database import Database, Tx
from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.ids import AccountId, JobId, ServerId

EVERY = Wanted()


class IdempotencyKeyReused(Refusal):
    """The key was used within the last 24 hours: single use, never replayed."""

    kind = Kind.UNPROCESSABLE
    code = "idempotency_key_reuse"


class DuplicatePrompt(Refusal):
    """The account has a job of this prompt id already."""

    kind = Kind.CONFLICT
    code = "duplicate_prompt_id"


class QueueFull(Refusal):
    """As many jobs wait as may; the answer says whose bound it is."""

    kind = Kind.BUSY
    code = "queue_full"


class JobNotFound(NotFound):
    code = "not_found"


class InvalidCursor(Refusal):
    code = "invalid_cursor"


async def submit(tx: Tx, job: NewJob) -> Job:
    """Accept a job: one statement. Raises IdempotencyKeyReused, DuplicatePrompt, and then nothing was written."""
    try:
        accepted = await submits.submit(tx, job)
    except submits.PromptIdTaken:
        raise DuplicatePrompt(f"There is a prompt {job.native_prompt_id} already; give each its own id.") from None
    if accepted is None:
        raise _reused()
    return accepted


def _reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused("This Idempotency-Key was used before; send a new one for a new job.")


async def submit_many(tx: Tx, jobs: Sequence[NewJob]) -> list[Job]:
    """Accept jobs that all have a recipe, in this order: a thousand take about a second, on one way and back.

    Raises IdempotencyKeyReused, and then the caller's transaction must not be committed.
    """
    accepted = [job for job in await submits.submit_many(tx, jobs) if job is not None]
    if len(accepted) < len(jobs):
        raise _reused()
    return accepted


async def read(tx: Tx, account_id: AccountId, job_id: JobId) -> Job:
    """The account's own job, or JobNotFound."""
    job = await reads.job(tx, account_id, job_id)
    if job is None:
        raise JobNotFound(f"There is no job {job_id}.")
    return job


async def listing(
    tx: Tx,
    account_id: AccountId,
    *,
    limit: int,
    cursor: str | None = None,
    wanted: Wanted = EVERY,
) -> Page:
    """The account's jobs that are wanted, newest first, `limit` at most. Raises InvalidCursor."""
    jobs = await lists.page(tx, account_id, wanted, limit=limit + 1, before=_position(cursor))
    more = len(jobs) > limit
    return Page(tuple(jobs[:limit]), str(jobs[limit - 1].position) if more else None)


def _position(cursor: str | None) -> int | None:
    if not cursor:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidCursor("This cursor was not given by this API; start again without one.")
    return int(cursor)


async def graph(tx: Tx, account_id: AccountId, job_id: JobId) -> dict[str, Any]:
    """The graph as it was submitted, in API format."""
    text = await reads.graph_text(tx, account_id, job_id)
    if text is None:
        raise JobNotFound(f"There is no job {job_id}.")
    document: dict[str, Any] = json.loads(text)
    return document


async def cancel(tx: Tx, account_id: AccountId, job_id: JobId) -> Job:
    """Ask for the end of a job: a waiting one is canceled now, a running one when its server let go of it.

    A finished one stays as it is. Wake `job:<id>` and `cancel` after the commit.
    """
    job = await read(tx, account_id, job_id)
    locked = await attempts.lock_job(tx, job.id)
    if locked is None:
        raise JobNotFound(f"There is no job {job_id}.")
    match locked[0]:
        case JobState.QUEUED | JobState.PREPARING:
            await attempts.end_job(tx, job.id, JobState.CANCELED)
        case JobState.CLAIMED | JobState.RUNNING:
            await attempts.ask_to_cancel(tx, job.id)
        case _:
            pass
    return await read(tx, account_id, job_id)


async def events_after(tx: Tx, account_id: AccountId, job_id: JobId, seq: int) -> list[Event]:
    """The events behind sequence `seq` (0: all), in order."""
    return await reads.events_after(tx, account_id, job_id, seq)


async def progress(tx: Tx, job_id: JobId) -> Progress | None:
    """The newest progress of a running job. The caller has checked whose job it is."""
    return await reads.progress(tx, job_id)


async def preview_after(tx: Tx, job_id: JobId, seq: int) -> Preview | None:
    """The newest preview when it is newer than `seq`. The caller has checked whose job it is."""
    return await reads.preview_after(tx, job_id, seq)


async def watch(tx: Tx, job_id: JobId, seconds: float) -> None:
    """Ask for previews of this job during the next `seconds`. Wake `watch` after the commit."""
    await live.watch(tx, job_id, seconds)


async def adopt(tx: Tx, server_id: ServerId, fence: int) -> list[Claim]:
    """The attempts that live on this server under this fence, oldest first.

    A job that went through too many lost dispatchers ends here instead: perhaps it is what ends them.
    """
    return [claim for claim in await claims.live(tx, server_id, fence) if await _may_go_on(tx, claim)]


async def _may_go_on(tx: Tx, claim: Claim) -> bool:
    locked = await attempts.lock_job(tx, claim.job_id)
    if locked is None or not await attempts.lock_attempt(tx, claim):
        return False
    state, counters = locked
    verdict = rules.after_failure(counters, Cause.DISPATCHER_LOST)
    if not isinstance(verdict, GiveUp):
        return True
    await attempts.end_attempt(tx, claim, Outcome.LOST, {"cause": Cause.DISPATCHER_LOST})
    if state is JobState.CANCELING:
        await attempts.end_job(tx, claim.job_id, JobState.CANCELED)
    else:
        await attempts.give_up(tx, claim.job_id, verdict.error)
    return False


async def finish_failed(
    tx: Tx,
    claim: Claim,
    outcome: Outcome,
    error: JobError,
    evidence: dict[str, Any] | None = None,
    *,
    report: Report | None = None,
) -> bool:
    """End attempt and job for a reason of the graph's own. False when the attempt is not ours any more."""
    locked = await attempts.lock_job(tx, claim.job_id)
    if locked is None or not await attempts.lock_attempt(tx, claim):
        return False
    canceling = locked[0] is JobState.CANCELING
    await attempts.end_attempt(tx, claim, Outcome.CANCELED if canceling else outcome, evidence)
    if canceling:
        await attempts.end_job(tx, claim.job_id, JobState.CANCELED)
    else:
        await attempts.end_job(tx, claim.job_id, JobState.FAILED, error)
    if report is not None and (report.interrupted or not canceling):
        await attempts.save_report(tx, claim.job_id, report)
    return True


async def finish_canceled(tx: Tx, claim: Claim) -> bool:
    """End attempt and job because the owner asked to. False when the attempt is not ours or nobody asked."""
    locked = await attempts.lock_job(tx, claim.job_id)
    if locked is None or locked[0] is not JobState.CANCELING or not await attempts.lock_attempt(tx, claim):
        return False
    await attempts.end_attempt(tx, claim, Outcome.CANCELED, None)
    await attempts.end_job(tx, claim.job_id, JobState.CANCELED)
    return True


async def finish_retriable(
    tx: Tx, claim: Claim, cause: Cause, *, was_running: bool, evidence: dict[str, Any] | None = None, vram: int = 0
) -> JobState | None:
    """End the attempt for an infrastructure reason: the job waits again, or ends when it went through enough.

    `was_running` says whether the server was running this prompt just then; `vram` is what was too little of it
    (bytes). Gives the job's state afterwards, None when the attempt is not ours any more.
    """
    locked = await attempts.lock_job(tx, claim.job_id)
    if locked is None or not await attempts.lock_attempt(tx, claim):
        return None
    state, counters = locked
    outcome = Outcome.OUT_OF_MEMORY if cause is Cause.OUT_OF_MEMORY else Outcome.LOST
    await attempts.end_attempt(tx, claim, outcome, {"cause": cause, **(evidence or {})})
    if state is JobState.CANCELING:
        await attempts.end_job(tx, claim.job_id, JobState.CANCELED)
        return JobState.CANCELED
    counters = rules.counted(counters, cause, was_running=was_running)
    match rules.after_failure(counters, cause):
        case GiveUp(error):
            await attempts.give_up(tx, claim.job_id, error, counters)
            return JobState.FAILED
        case again:
            told = {"attempt": claim.number, "reason": rules.reason(cause), "delay": again.delay}
            failed = Failed(claim.server_id if rules.blames_server(cause) else None, vram)
            await attempts.requeue(tx, claim.job_id, counters, delay=again.delay, told=told, failed=failed)
            return JobState.QUEUED


async def withdraw(
    tx: Tx, claim: Claim, reason: str = "", *, evidence: dict[str, Any] | None = None, delay: float = 0.0
) -> bool:
    """Give a job back as if it had not been claimed: no try of its own is counted. `delay` in seconds.

    With a `reason` in words, those who follow the job are told why it waits again.
    """
    locked = await attempts.lock_job(tx, claim.job_id)
    if locked is None or not await attempts.lock_attempt(tx, claim):
        return False
    await attempts.end_attempt(tx, claim, Outcome.WITHDRAWN, evidence)
    if locked[0] is JobState.CANCELING:
        await attempts.end_job(tx, claim.job_id, JobState.CANCELED)
    else:
        told = {"attempt": claim.number, "reason": reason, "delay": delay} if reason else None
        await attempts.requeue(tx, claim.job_id, locked[1], delay=delay, told=told)
    return True


async def succeed(
    database: Database, claim: Claim, outputs: Sequence[Made], ran: float = 0.0, report: Report | None = None
) -> bool:
    """The end of a good job: attempt, outputs, capture and terminal event in one statement of its own.

    `ran`: seconds since it began, for a run so short that its start was never written down.
    """
    async with database.autocommit() as connection:
        return await attempts.succeed(connection, claim, outputs, ran, report)


class QueueBounds:
    """How many jobs may wait, in all and per account, by a count that is at most a second old."""

    def __init__(self, in_all: int, per_account: int) -> None:
        self._in_all = in_all
        self._per_account = per_account
        self._taken = float("-inf")
        self._waiting: dict[AccountId, int] = {}
        self._outflow = Outflow()

    async def check(self, tx: Tx, account_id: AccountId, jobs: int = 1) -> None:
        """Raise QueueFull where so many more jobs pass a bound; Retry-After is when one has probably left."""
        if clock.monotonic() - self._taken > 1.0:
            self._taken = clock.monotonic()
            self._waiting = await reads.waiting_by_account(tx)
            self._outflow.count(self._taken, self._waiting)
        mine, everybody = self._waiting.get(account_id, 0), sum(self._waiting.values())
        if mine + jobs > self._per_account:
            soon = self._outflow.seconds_to_one(account_id)
            raise QueueFull(
                f"{mine} jobs of this account wait already; {self._per_account} may.", retry_after=soon
            )
        if everybody + jobs > self._in_all:
            soon = self._outflow.seconds_to_one()
            raise QueueFull(f"{everybody} jobs wait already; {self._in_all} may.", retry_after=soon)
        for _ in range(jobs):
            self._outflow.accept(account_id)
        self._waiting[account_id] = mine + jobs
