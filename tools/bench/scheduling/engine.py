"""Time goes from event to event: a job arrives, a server is free, a second has passed; then the rule decides."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tools.bench.scheduling.machines import Costs, Machine, Run
from tools.bench.scheduling.trace import Job

TICK_SECONDS = 1.0
"""A rule is asked at least this often while something waits, as the dispatcher asks its queue."""


@dataclass(frozen=True, slots=True)
class Move:
    """What a rule wants now: a job on a server, at once or behind what runs; without one, its lane is loaded."""

    machine: Machine
    lane: str
    job: Job | None


class Rule(Protocol):
    """A way to schedule. It sees what has arrived and the servers; never how long a run will take."""

    def arrived(self, job: Job) -> None: ...

    def decide(self, now: float) -> Iterable[Move]:
        """What begins now; asked after each event."""
        ...

    def waits(self) -> bool:
        """Whether anything that it knows of still has no server."""
        ...


class MakeRule(Protocol):
    def __call__(self, machines: Sequence[Machine], /) -> Rule: ...


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a trace: every run in the order in which they began."""

    runs: tuple[Run, ...]
    swaps: int
    servers: int


def run(jobs: Sequence[Job], servers: int, costs: Costs, make: MakeRule) -> Ran:
    """Let this rule schedule this trace on so many servers."""
    machines = [Machine(number, costs) for number in range(servers)]
    floor = _Floor(machines, make(machines))
    for job in jobs:
        floor.at(job.at, job)
    floor.play()
    return Ran(tuple(floor.runs), sum(machine.swaps for machine in machines), servers)


class _Floor:
    def __init__(self, machines: Sequence[Machine], rule: Rule) -> None:
        self._rule = rule
        self._machines = machines
        self._events: list[tuple[float, int, Job | Machine | None]] = []
        self._number = 0
        self._tick_at = -1.0
        self.runs: list[Run] = []

    def at(self, when: float, what: Job | Machine | None) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, what))

    def play(self) -> None:
        while self._events:
            now, _, what = heapq.heappop(self._events)
            match what:
                case Job():
                    self._rule.arrived(what)
                case Machine():
                    self._freed(what, now)
                case None:
                    pass
            if not (self._events and self._events[0][0] == now):
                self._decide(now)

    def _freed(self, machine: Machine, now: float) -> None:
        machine.finish(now)
        if machine.ahead is not None:
            job, machine.ahead = machine.ahead, None
            self._begin(machine, now, job.lane, job)

    def _decide(self, now: float) -> None:
        for move in self._rule.decide(now):
            if move.machine.running is None:
                self._begin(move.machine, now, move.lane, move.job)
            else:
                move.machine.ahead = move.job
        if self._rule.waits() and self._tick_at <= now:
            self._tick_at = now + TICK_SECONDS
            self.at(self._tick_at, None)

    def _begin(self, machine: Machine, now: float, lane: str, job: Job | None) -> None:
        begun = machine.begin(now, lane, job)
        if job is not None:
            self.runs.append(begun)
        self.at(begun.end, machine)
