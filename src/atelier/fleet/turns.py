"""Whose turn it is in one class: the party that was given least for its weight; inside it the lowest number.

Where two were given the same, the party with the older jobs goes first: in which order it wants them changes
nothing for others.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from atelier.fleet.model import Party, Share, Waiting, turn_in_party
from atelier.kit.ids import JobId


@dataclass(slots=True)
class _Line:
    """The waiting jobs of one party in its own order, and what it was given so far (seconds by weight).

    `ages`: of all its jobs, oldest first; its turns are as old as they are, whichever job each goes to.
    """

    time: float
    weight: float
    may_begin: int | None
    jobs: list[Waiting] = field(default_factory=list[Waiting])
    ages: list[tuple[int, JobId]] = field(default_factory=list[tuple[int, JobId]])


class Turns:
    """The jobs of one class in the order in which they may choose; whoever is given something steps back."""

    def __init__(self, waiting: Iterable[Waiting], shares: Mapping[Party, Share]) -> None:
        self._lines: dict[Party, _Line] = {}
        self.done: set[JobId] = set()
        for job in sorted(waiting, key=_age_order):
            line = self._lines.get(job.party)
            if line is None:
                share = shares.get(job.party) or Share()
                line = self._lines[job.party] = _Line(share.virtual_time, share.weight, share.may_begin)
            line.jobs.append(job)
            line.ages.append(_age_order(job))
        for line in self._lines.values():
            line.jobs.sort(key=turn_in_party)

    def in_order(self) -> Iterator[Waiting]:
        """Every job that still waits, once; what is given away meanwhile decides who comes next."""
        lines = list(self._lines.values())
        heap = [_turn(line, number, 0) for number, line in enumerate(lines)]
        heapq.heapify(heap)
        while heap:
            *_, number, place = heapq.heappop(heap)
            line = lines[number]
            if line.may_begin is not None and line.may_begin <= 0:
                continue
            job = line.jobs[place]
            if job.job_id not in self.done:
                yield job
            if place + 1 < len(line.jobs):
                heapq.heappush(heap, _turn(line, number, place + 1))

    def give(self, job: Waiting, cost: float) -> None:
        """A job begins; it costs so many seconds."""
        line = self._lines[job.party]
        line.time += cost / line.weight
        if line.may_begin is not None:
            line.may_begin -= 1
        self.done.add(job.job_id)

    def time_of(self, job: Waiting) -> float:
        """What the party of this job was given so far, in seconds divided by its weight."""
        return self._lines[job.party].time


def _age_order(job: Waiting) -> tuple[int, JobId]:
    return (job.position, job.job_id)


def _turn(line: _Line, number: int, place: int) -> tuple[float, int, JobId, int, int]:
    return (line.time, *line.ages[place], number, place)
