"""How true the first expectation is that anybody is told of a job, measured when the job has begun."""

import itertools
import statistics
from collections import OrderedDict, deque
from collections.abc import Container, Mapping
from dataclasses import dataclass

from atelier.kit.ids import JobId

REMEMBERED = 2000
"""Jobs whose beginning is awaited; the one that was told of first is forgotten first."""

SAMPLES = 1000
ASKED_AT_ONCE = 500
CLOSE = 0.2
GRAIN = 1.0
"""Seconds that a snapshot may be old: nothing is told more exactly."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Of the last thousand jobs that began, in seconds. An error is the time of waiting beyond what was told.

    `median` and `mean_absolute` of the errors without their signs. `bias`: their mean with it, positive when jobs
    begin later than was told. `close`: the part that was told within 20 % of the time of waiting, or a second.
    """

    samples: int = 0
    median: float | None = None
    mean_absolute: float | None = None
    bias: float | None = None
    close: float | None = None


class Punctuality:
    """Remembers what was told first, by a clock in seconds."""

    def __init__(self) -> None:
        self._told: OrderedDict[JobId, tuple[float, float]] = OrderedDict()
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def tell(self, job_id: JobId, now: float, seconds: float) -> None:
        """Somebody is told that this job begins in so many seconds. Only the first time counts."""
        if job_id in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.popitem(last=False)
        self._told[job_id] = (now, seconds)

    def awaited(self, but: Container[JobId] = ()) -> list[JobId]:
        """Those of which it is worth to ask whether they began, the oldest first; not these, which still wait."""
        gone = (job_id for job_id in self._told if job_id not in but)
        return list(itertools.islice(gone, ASKED_AT_ONCE))

    def left(self, now: float, began: Mapping[JobId, float | None]) -> None:
        """These wait no more: seconds since they began, None for those that never did."""
        for job_id, ago in began.items():
            told = self._told.pop(job_id, None)
            if told is not None and ago is not None:
                told_at, seconds = told
                self._samples.append((seconds, max(now - ago - told_at, 0.0)))

    def errors(self) -> Errors:
        """What was measured so far."""
        if not self._samples:
            return Errors()
        errors = [waited - told for told, waited in self._samples]
        sizes = [abs(error) for error in errors]
        close = [abs(waited - told) <= max(CLOSE * waited, GRAIN) for told, waited in self._samples]
        return Errors(
            samples=len(errors),
            median=statistics.median(sizes),
            mean_absolute=statistics.fmean(sizes),
            bias=statistics.fmean(errors),
            close=sum(close) / len(close),
        )
