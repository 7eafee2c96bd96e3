"""What a job may expect: its place in the queue, when it will begin, and why it has not begun yet."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from atelier.fleet.forecast import Expected, forecast
from atelier.fleet.model import Waiting
from atelier.fleet.reasons import Ranks, Reasons
from atelier.fleet.scene import Limits
from atelier.fleet.view import FleetView
from atelier.fleet.words import span
from atelier.jobs.model import Job, JobState
from atelier.jobs.punctuality import Errors, Punctuality
from atelier.jobs.store import prospects
from atelier.jobs.store.prospects import Run
from atelier.jobs.survey import Seen, Supposed, Surveyor
from atelier.kit import clock
from atelier.kit.database import AWAY, Tx
from atelier.kit.ids import JobId

POSITION_CAP = 1000
"""Places are counted up to here; behind it, all are "1000+"."""

KEPT_SECONDS = 1.0
"""How old a snapshot may be before the next reader takes another."""

STALE_SECONDS = 5.0
"""How old it may be for those who come while another is being taken."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prospect:
    """`position`: how many waiting jobs begin before it, `POSITION_CAP` at most; None: it does not wait.

    `eta_seconds`: until it begins, None where nobody can know. `reason`: why it has not begun, in words, or empty.
    """

    position: int | None
    eta_seconds: float | None
    reason: str

    @property
    def place(self) -> str:
        """The position as people read it: `1000+` for all that are behind the cap."""
        if self.position is None:
            return ""
        return f"{self.position}+" if self.position >= POSITION_CAP else str(self.position)


class Outlook:
    """Prospects from a snapshot that is at most a second old, made only when somebody asks.

    One snapshot serves all readers of this process, so that a poll costs no query of its own. `limits` are the
    settings'; `view` spares the reading of inventories. `kept` in seconds.
    """

    def __init__(
        self,
        view: FleetView | None = None,
        limits: Limits | None = None,
        *,
        cap: int = POSITION_CAP,
        kept: float = KEPT_SECONDS,
    ) -> None:
        self._kept = kept
        self._cap = cap
        self._surveyor = Surveyor(view, limits or Limits())
        self._taking = asyncio.Lock()
        self._snapshot: _Snapshot | None = None
        self._punctuality = Punctuality()

    async def of(self, tx: Tx, job: Job) -> Prospect:
        """What this job may expect now. The caller has checked whose job it is."""
        match job.state:
            case JobState.PREPARING:
                return dataclasses.replace(
                    (await self._taken(tx)).newest(self._cap), reason="it is being prepared"
                )
            case JobState.CLAIMED:
                return (await self._taken(tx)).claimed(job.id)
            case JobState.QUEUED:
                return await self._of_queued(tx, job)
            case JobState.CANCELING:
                return Prospect(None, None, "its server was told to stop it")
            case _:
                return Prospect(None, None, "")

    async def position(self, tx: Tx, job: Job) -> int | None:
        """Its place alone, for those who tell no more: nothing is put into words for it.

        None also where it could not be foretold: whoever was accepted must not be answered with an error for that.
        """
        match job.state:
            case JobState.CLAIMED:
                return 0
            case JobState.QUEUED | JobState.PREPARING:
                return await self._position(tx, job)
            case _:
                return None

    async def _position(self, tx: Tx, job: Job) -> int | None:
        try:
            return (await self._taken(tx)).position(job.id, self._cap)
        except AWAY:
            raise
        except Exception:  # noqa: BLE001 - a forecast is worth less than the answer that carries it
            _log.exception("outlook.failed", job=str(job.id))
            return None

    async def would(self, tx: Tx, supposed: Supposed) -> Prospect:
        """What a job might expect that is not submitted. It looks anew; why it would wait is not told."""
        seen = await self._surveyor.scene(tx, supposed=supposed)
        expected = (await asyncio.to_thread(forecast, seen.scene)).expected[supposed.waiting.job_id]
        if not seen.complete:
            return Prospect(self._cap, None, "")
        return Prospect(min(expected.position, self._cap), expected.begins_in, "")

    async def why(self, tx: Tx, job_ids: Sequence[JobId]) -> dict[JobId, str]:
        """Why these waiting jobs wait, wherever they are in the queue. It looks anew."""
        snapshot = await _snapshot(await self._surveyor.scene(tx, job_ids))
        return {job_id: snapshot.of(job_id, self._cap).reason for job_id in job_ids if snapshot.knows(job_id)}

    def errors(self) -> Errors:
        """How true the first expectations were that this process told."""
        return self._punctuality.errors()

    async def _of_queued(self, tx: Tx, job: Job) -> Prospect:
        snapshot = await self._taken(tx)
        if not snapshot.knows(job.id):
            return snapshot.newest(self._cap)
        prospect = snapshot.of(job.id, self._cap)
        if prospect.eta_seconds is None:
            return prospect
        if job.started_at is None:
            self._punctuality.tell(job.id, snapshot.taken_at, prospect.eta_seconds)
        return dataclasses.replace(prospect, eta_seconds=max(prospect.eta_seconds - snapshot.age, 0.0))

    async def _taken(self, tx: Tx) -> "_Snapshot":
        """The newest snapshot; whoever comes while one is being taken has the one before, if there is any."""
        newest = self._snapshot
        if newest is not None and newest.age <= (STALE_SECONDS if self._taking.locked() else self._kept):
            return newest
        async with self._taking:
            if self._snapshot is None or self._snapshot.age > self._kept:
                self._snapshot = await _snapshot(await self._surveyor.scene(tx))
                await self._compare(tx)
            return self._snapshot

    async def _compare(self, tx: Tx) -> None:
        """Jobs that were told of and have begun meanwhile."""
        waiting: Mapping[JobId, Expected] = self._snapshot.expected if self._snapshot else {}
        if awaited := self._punctuality.awaited(but=waiting):
            began = await prospects.left(tx, awaited)
            self._punctuality.left(clock.monotonic(), began)


@dataclass(slots=True)
class _Snapshot:
    """One forecast and its scene. Reasons are put into words when somebody asks for them, and then once."""

    seen: Seen
    reasons: Reasons
    expected: Mapping[JobId, Expected]
    jobs: Mapping[JobId, Waiting]
    taken_at: float
    words: dict[JobId, str]

    @property
    def age(self) -> float:
        return clock.monotonic() - self.taken_at

    def knows(self, job_id: JobId) -> bool:
        return job_id in self.expected

    def position(self, job_id: JobId, cap: int) -> int:
        """What came after the snapshot stands at its end, or behind all that it has."""
        if job_id in self.expected:
            return min(self.expected[job_id].position, cap)
        return min(len(self.expected), cap) if self.seen.complete else cap

    def of(self, job_id: JobId, cap: int) -> Prospect:
        expected = self.expected[job_id]
        if job_id not in self.words:
            self.words[job_id] = self.reasons.why(self.jobs[job_id])
        return Prospect(min(expected.position, cap), expected.begins_in, self.words[job_id])

    def newest(self, cap: int) -> Prospect:
        """What came after the snapshot, or is behind all that it has."""
        if not self.seen.complete:
            return Prospect(cap, None, f"more than {cap} jobs are before it")
        return Prospect(min(len(self.expected), cap), None, "waiting for a server")

    def claimed(self, job_id: JobId) -> Prospect:
        """The next on a server, perhaps behind another job there."""
        run = self.seen.runs.get(job_id)
        if run is None:
            return Prospect(0, None, "next on a server")
        before, rest = self._before(run)
        if not before:
            return Prospect(0, 0.0, f"{run.server_id} begins it now")
        if rest is None:
            return Prospect(0, None, f"next on {run.server_id}, behind another job")
        return Prospect(0, rest, f"next on {run.server_id}, which is busy for about {span(rest)}")

    def _before(self, run: Run) -> tuple[bool, float | None]:
        """Whether its server works on something else first, and for how long."""
        total: float | None = 0.0
        for busy in self.seen.scene.stations[run.server_id].busy:
            if busy.job_id == run.job_id:
                break
            total = None if total is None or busy.rest is None else total + busy.rest
        return total != 0, total


async def _snapshot(seen: Seen) -> _Snapshot:
    """Made in a thread: it is tens of milliseconds of Python, in which this process answers others."""
    made = await asyncio.to_thread(forecast, seen.scene)
    jobs = {job.job_id: job for job in made.order}
    return _Snapshot(
        seen, Reasons(seen.scene, made, Ranks(made.order)), made.expected, jobs, clock.monotonic(), {}
    )
