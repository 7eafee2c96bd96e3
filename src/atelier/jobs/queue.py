"""The queue in figures: what waits and what runs, per lane, requirement set, account and class."""

import asyncio
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from atelier.jobs.model import JobState
from atelier.jobs.store import stats
from atelier.jobs.store.stats import Group
from atelier.kit import clock
from atelier.kit.database import Database

LEAST_SECONDS = 2.0
TIMES_ITS_OWN = 5.0
"""A snapshot is kept for five times as long as it took to take, so that asking costs a sixth of one processor."""

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of jobs. `delayed` of those that wait are tried again in a while; `oldest` is of those that wait.

    `placed`: on a server, behind what runs there.
    """

    waiting: int = 0
    delayed: int = 0
    placed: int = 0
    running: int = 0
    canceling: int = 0
    oldest: dt.datetime | None = None

    @property
    def unfinished(self) -> int:
        return self.waiting + self.placed + self.running + self.canceling

    def oldest_age(self, now: dt.datetime) -> float | None:
        """Seconds that the oldest has waited."""
        return max((now - self.oldest).total_seconds(), 0.0) if self.oldest else None


class QueueFigures:
    """Snapshots of all groups, one for all who ask of this process."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._groups: Sequence[Group] = ()
        self._good_until = float("-inf")

    async def groups(self, database: Database) -> Sequence[Group]:
        """All unfinished jobs, in groups; at least `LEAST_SECONDS` fresh on a small queue."""
        async with self._lock:
            if clock.monotonic() >= self._good_until:
                began = clock.monotonic()
                async with database.autocommit() as tx:
                    self._groups = await stats.groups(tx)
                took = clock.monotonic() - began
                self._good_until = clock.monotonic() + max(LEAST_SECONDS, TIMES_ITS_OWN * took)
            return self._groups


def tally(groups: Iterable[Group]) -> Tally:
    """All of them together."""
    count: defaultdict[JobState, int] = defaultdict(int)
    waiting: list[dt.datetime] = []
    delayed = 0
    for group in groups:
        count[group.state] += group.jobs
        delayed += group.delayed
        if group.state is JobState.QUEUED:
            waiting.append(group.oldest)
    return Tally(
        waiting=count[JobState.QUEUED],
        delayed=delayed,
        placed=count[JobState.CLAIMED],
        running=count[JobState.RUNNING],
        canceling=count[JobState.CANCELING],
        oldest=min(waiting, default=None),
    )


def tallies(groups: Iterable[Group], key: Callable[[Group], Key]) -> list[tuple[Key, Tally]]:
    """Those of one key together; most jobs first."""
    found: defaultdict[Key, list[Group]] = defaultdict(list)
    for group in groups:
        found[key(group)].append(group)
    return sorted(((each, tally(members)) for each, members in found.items()), key=lambda one: -one[1].unfinished)
