"""What a job may expect: its place in the queue, when it will begin, and why it has not begun yet."""

from dataclasses import dataclass

from atelier.jobs.model import Job, JobState
from atelier.jobs.store import reads
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import JobId

POSITION_CAP = 1000
"""Places are counted up to here; behind it, all are "1000+"."""

KEPT_SECONDS = 1.0
"""How old a snapshot may be before the next reader takes another."""

_WAITS = frozenset({JobState.QUEUED, JobState.PREPARING, JobState.CLAIMED})


@dataclass(frozen=True, slots=True)
class Prospect:
    """`position`: how many waiting jobs begin before it, `POSITION_CAP` at most; None: it does not wait.

    `eta_seconds`: until it begins, None where nobody can know. `reason`: why it waits, in words; empty when it
    does not.
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

    One snapshot serves all readers of this process, so that a poll costs no query of its own.
    """

    def __init__(self, cap: int = POSITION_CAP) -> None:
        self._cap = cap
        self._taken = float("-inf")
        self._places: dict[JobId, int] = {}

    async def of(self, tx: Tx, job: Job) -> Prospect:
        """What this job may expect now. The caller has checked whose job it is."""
        if job.state not in _WAITS:
            return Prospect(None, None, "")
        if job.state is JobState.CLAIMED:
            return Prospect(0, None, "next on its server")
        if clock.monotonic() - self._taken > KEPT_SECONDS:
            self._taken = clock.monotonic()
            order = await reads.waiting_order(tx, self._cap)
            self._places = {JobId(job_id): place for place, job_id in enumerate(order)}
        place = self._places.get(job.id, min(len(self._places), self._cap))
        return Prospect(place, None, "waiting for a server")
