"""Simpler ways to schedule, as others do it; none of them knows accounts or classes."""

import itertools
from collections import deque
from collections.abc import Iterable, Sequence

from tools.bench.scheduling.engine import Move
from tools.bench.scheduling.machines import Machine
from tools.bench.scheduling.trace import Job


class _Queues:
    """A queue for each server, filled when a job arrives, as gateways in front of ComfyUI's own queues do."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self._queues: dict[Machine, deque[Job]] = {machine: deque() for machine in machines}

    def decide(self, _now: float) -> Iterable[Move]:
        for machine, queue in self._queues.items():
            if machine.running is None and queue:
                job = queue.popleft()
                yield Move(machine, job.lane, job)

    def waits(self) -> bool:
        return False


class RoundRobin(_Queues):
    """Each job to the next server in turn."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        super().__init__(machines)
        self._turn = itertools.cycle(machines)

    def arrived(self, job: Job) -> None:
        self._queues[next(self._turn)].append(job)


class LeastLoaded(_Queues):
    """Each job to the server with the fewest prompts, running and waiting."""

    def arrived(self, job: Job) -> None:
        least = min(self._machines, key=lambda one: (len(self._queues[one]) + bool(one.running), one.number))
        self._queues[least].append(job)


class SameModelFirst:
    """After SwarmUI's BackendHandler: in order of arrival, an idle server that has the model loaded takes a job.

    For what finds none, the model with the highest pressure (10 for each request that waits, 1 for each second
    since the first of them) is loaded on the idle server that has been idle longest: at once when it is the only
    idle one, else when the pressure is 1.5 s old; a model is loaded on one server at a time. Read to the letter,
    its loop may load for an early request where a later one has its model; here all of the latter go first.
    """

    PRESSURE_OF_ONE = 10.0
    NEW_SECONDS = 1.5

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self._waiting: dict[int, Job] = {}

    def arrived(self, job: Job) -> None:
        self._waiting[job.number] = job

    def waits(self) -> bool:
        return bool(self._waiting)

    def decide(self, now: float) -> Iterable[Move]:
        idle = [machine for machine in self._machines if machine.running is None]
        for job in list(self._waiting.values()):
            same = next((machine for machine in idle if machine.warmth.has(job.lane)), None)
            if same is not None:
                idle.remove(same)
                yield self._move(same, job)
        while idle and (next_one := self._pressing(now, len(idle))) is not None:
            longest = min(idle, key=lambda machine: (machine.freed_at, machine.number))
            idle.remove(longest)
            yield self._move(longest, next_one)

    def _move(self, machine: Machine, job: Job) -> Move:
        del self._waiting[job.number]
        return Move(machine, job.lane, job)

    def _pressing(self, now: float, idle: int) -> Job | None:
        """The first job of the model to load now, if any."""
        runs = [machine.running for machine in self._machines if machine.running]
        loading = {run.lane for run in runs if now < run.begin + run.load}
        first: dict[str, Job] = {}
        count: dict[str, int] = {}
        for job in self._waiting.values():
            first.setdefault(job.lane, job)
            count[job.lane] = count.get(job.lane, 0) + 1
        pressure = {lane: self.PRESSURE_OF_ONE * count[lane] + now - first[lane].at for lane in first}
        lane = max(pressure.keys() - loading, key=lambda lane: (pressure[lane], lane), default=None)
        if lane is None or (idle > 1 and now - first[lane].at <= self.NEW_SECONDS):
            return None
        return first[lane]
