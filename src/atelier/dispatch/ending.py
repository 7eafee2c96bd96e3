"""How an attempt's end becomes the job's end: what it made is stored, or what went wrong is treated."""

import asyncio
import contextlib

import psycopg
import structlog

from atelier.comfy.client import Failed, HistoryEntry, Interrupted, Success
from atelier.comfy.errors import ComfyError, LostServer, Rejected
from atelier.dispatch.attempt import Attempt
from atelier.dispatch.closing import Closing, Trouble
from atelier.dispatch.collect import Shelf, collect
from atelier.dispatch.ends import End, Gone, NotPlaced, NotSent
from atelier.dispatch.failures import Failures
from atelier.dispatch.finishing import Finishing
from atelier.fleet.model import Origin
from atelier.jobs import service as jobs
from atelier.jobs.model import Cause, Claim, JobError, Made, Outcome
from atelier.jobs.prompt import Report
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.errors import Refusal
from atelier.storage.model import Storage, StorageUnavailable

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.25
"""A server that refuses connections, and yet answers on old ones, is not offered the same job in a hot loop."""

FETCHES = 5
"""How often a server that lives may break off the download of one run's outputs."""


class Ending:
    """Turns what happened on the server into what is true for everybody."""

    def __init__(self, database: Database, storage: Storage, output_limit: int, finishing: Finishing) -> None:
        self._database = database
        self._shelf = Shelf(database, storage, output_limit, finishing)
        self._closing = Closing(database)
        self._failures = Failures(self._closing)

    async def finish(self, attempt: Attempt, end: End | None) -> None:
        """End the attempt in the database. Does nothing when somebody else ended it or took it over."""
        match end:
            case None:
                await self._closing.canceled(attempt)
            case Gone():
                await self._gone(attempt, end)
            case NotSent(reason, delay):
                await asyncio.sleep(PAUSE_SECONDS)
                await self._closing.withdraw(attempt, reason if delay else "", delay)
            case NotPlaced():
                await self._failures.not_placed(attempt, end)
            case Rejected():
                await self._failures.rejected(attempt, end)
            case HistoryEntry():
                await self._judge(attempt, end)

    async def _judge(self, attempt: Attempt, entry: HistoryEntry) -> None:
        match entry.verdict:
            case Success():
                await self._collect(attempt, entry)
            case Interrupted():
                await self._interrupted(attempt, entry)
            case Failed(data):
                await self._failures.run(attempt, entry, dict(data))

    async def crashed(self, claim: Claim, error: Exception) -> None:
        """A bug of ours: the job ends, its hold is released, the log has the rest."""
        told = JobError(
            "internal_error", "Atelier failed while it handled this job; the operator's log says more."
        )
        await self._closing.crashed(claim, told, {"exception": repr(error)[:500]})

    # What it made ------------------------------------------------------------------------------

    async def _collect(self, attempt: Attempt, entry: HistoryEntry) -> None:
        """Fetch and store; what breaks off is tried again for as long as the run is worth it."""
        broken, began = 0, clock.monotonic()
        while not attempt.cancel_asked:
            try:
                made = await self._fetched(attempt, entry)
            except LostServer as lost:
                broken += 1
                if await self._broke_off(attempt, lost, broken):
                    return
            except StorageUnavailable as refusal:
                if await self._storage_away(attempt, refusal, clock.monotonic() - began):
                    return
            except (Refusal, ComfyError) as error:
                await self._not_had(attempt, error)
                return
            else:
                await self._succeed(attempt, entry, made)
                return
        await self._closing.canceled(attempt)

    async def _fetched(self, attempt: Attempt, entry: HistoryEntry) -> list[Made] | None:
        """None when a cancel broke it off."""

        async def fetch() -> list[Made]:
            return await collect(attempt.host.client, self._shelf, entry, attempt.frames, attempt.claim.finish)

        with contextlib.suppress(TimeoutError):
            async with attempt.breakable():
                return await self._closing.insist(fetch)
        return None

    async def _broke_off(self, attempt: Attempt, lost: LostServer, broken: int) -> bool:
        """True when the outputs are given up."""
        attempt.host.trouble(str(lost))
        if attempt.host.lost or broken >= FETCHES:
            evidence = {"while": "collecting", "reason": str(lost)}
            await self._closing.retriable(attempt, Trouble(Cause.SERVER_LOST, evidence))
            return True
        await asyncio.sleep(1.0)
        return False

    async def _storage_away(self, attempt: Attempt, refusal: StorageUnavailable, waited: float) -> bool:
        """The run is good and lies on its server: it is kept there for a while. True when it is given up.

        What lies there is bounded: with `collect_at_once` of them the server gets no other job.
        """
        if waited >= attempt.host.settings.storage_patience:
            evidence = {"while": "storing outputs", "reason": refusal.message}
            await self._closing.retriable(attempt, Trouble(Cause.STORAGE, evidence))
            return True
        _log.warning("storage.away", job=str(attempt.claim.job_id), reason=refusal.message)
        with contextlib.suppress(TimeoutError):
            async with attempt.breakable():
                await asyncio.sleep(min(1.0 + waited / 4, 10.0))
        return False

    async def _not_had(self, attempt: Attempt, error: Refusal | ComfyError) -> None:
        """An output that may not be had (too large), or one that the server no longer has.

        A cached run lists files that somebody deleted: without its cache the server makes them again.
        """
        if isinstance(error, Refusal):
            await self._closing.failed(attempt, Outcome.FAILED, JobError(error.code, error.message))
            return
        try:
            await attempt.host.client.free(unload_models=False, free_memory=True)
        except ComfyError as trouble:
            attempt.host.trouble(str(trouble))
        evidence = {"while": "collecting", "reason": str(error)}
        await self._closing.retriable(attempt, Trouble(Cause.OUTPUT_GONE, evidence))

    async def _succeed(self, attempt: Attempt, entry: HistoryEntry, made: list[Made] | None) -> None:
        """Once more from the start, when PostgreSQL died since the bytes were announced, and forgot them."""
        claim = attempt.claim
        report = attempt.telling.report(entry) if attempt.telling else None
        try:
            if made is None or not await self._closing.insist(
                lambda: jobs.succeed(self._database, claim, made, attempt.ran(), report)
            ):
                await self._closing.canceled(attempt)
        except psycopg.errors.ForeignKeyViolation as error:
            _log.warning("outputs.announcement_lost", job=str(claim.job_id), reason=str(error))
            await self._collect(attempt, entry)

    # What made nothing -------------------------------------------------------------------------

    async def _gone(self, attempt: Attempt, gone: Gone) -> None:
        began = attempt.started_at is not None
        match gone:
            case Gone.LOST:
                await self._closing.retriable(attempt, Trouble(Cause.SERVER_LOST, {}, was_running=began))
            case Gone.WEDGED:
                evidence = {"reason": attempt.watch.sign}
                await self._closing.retriable(attempt, Trouble(Cause.QUEUE_WEDGED, evidence, was_running=began))
            case Gone.EVICTED:
                await self._closing.withdraw(attempt, f"its server was quarantined: {attempt.evicted}")
            case Gone.STUCK | Gone.FORGOTTEN if attempt.cancel_asked:
                await self._closing.canceled(attempt)
            case Gone.STUCK | Gone.FORGOTTEN if attempt.watch.timed_out:
                await self._interrupted(attempt, None)
            case Gone.STUCK:
                await self._closing.withdraw(attempt)
            case Gone.FORGOTTEN:
                await self._forgotten(attempt, began=began)

    async def _forgotten(self, attempt: Attempt, *, began: bool) -> None:
        if attempt.adopted and attempt.host.server.origin is Origin.SIMULATED:
            # Simulated servers end with the `up` that started them: nobody can blame a job for that.
            await self._closing.withdraw(attempt, "the simulated server that ran it ended with its process")
        elif not began and (attempt.withdraw_asked or attempt.adopted):
            await self._closing.withdraw(attempt)
        else:
            await self._closing.retriable(attempt, Trouble(Cause.PROMPT_GONE, {}, was_running=began))

    async def _interrupted(self, attempt: Attempt, entry: HistoryEntry | None) -> None:
        if attempt.watch.timed_out:
            error = JobError("timed_out", f"The run took longer than the {attempt.limit.words}, and was stopped.")
            evidence, report = {"limit": attempt.limit.seconds}, _stopped(attempt, entry, error)
            await self._closing.failed(attempt, Outcome.TIMED_OUT, error, evidence, report=report)
        elif attempt.evicted:
            await self._closing.withdraw(attempt, f"its server was quarantined: {attempt.evicted}")
        else:
            error = JobError("interrupted", "The run was interrupted on the server, not through Atelier.")
            report = attempt.telling.report(entry) if attempt.telling and entry else None
            await self._closing.failed(attempt, Outcome.FAILED, error, report=report)


def _stopped(attempt: Attempt, entry: HistoryEntry | None, error: JobError) -> Report | None:
    """A run that we stopped ourselves; one that its owner stopped meanwhile is read as such."""
    if attempt.telling is None or entry is None:
        return None
    return attempt.telling.report(entry) if attempt.cancel_asked else attempt.telling.failed(entry, error)
