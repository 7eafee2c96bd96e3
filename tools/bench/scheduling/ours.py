"""The product's own policy, fed as the dispatcher feeds it: free slots and waiting jobs in, placements out."""

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from atelier.fleet import fairness, policy, prefetch
from atelier.fleet.fairness import Standing
from atelier.fleet.model import Party, Placement, Share, Slot, SlotKind, Waiting
from atelier.kit.ids import AccountId, JobId, ServerId
from tools.bench.scheduling.engine import Move
from tools.bench.scheduling.machines import Machine
from tools.bench.scheduling.trace import CLASSES, RUN_SECONDS, Job

PARTIES = 64
OF_LANE = 16
"""How much of what waits one question brings, as the dispatcher asks it: parties, and jobs of each warm lane."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """Every server can run everything; runs are expected to last what they last on average."""

    machines: Mapping[ServerId, Machine]
    run: float

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        return requirement_id == 0 and server_id in self.machines

    def run_seconds(self, shape: bytes, server_id: ServerId) -> float | None:  # noqa: ARG002 - one shape runs
        return self.run

    def load_seconds(self, lane: str, server_id: ServerId) -> float:
        machine = self.machines[server_id]
        return machine.load_seconds(lane) or machine.costs.again


class Atelier:
    """Keeps what the database and the drivers keep: waiting jobs, what each party was given, how long to stay."""

    def __init__(self, machines: Sequence[Machine], run: float = RUN_SECONDS) -> None:
        self._machines = machines
        self._by_id = {machine.id: machine for machine in machines}
        self._fleet = _Fleet(self._by_id, run)
        self._waiting: dict[JobId, Job] = {}
        self._parties: dict[Party, dict[JobId, Job]] = defaultdict(dict)
        self._lanes: dict[tuple[str, int], dict[JobId, Job]] = defaultdict(dict)
        self._given: dict[Party, float] = {}
        self._clock: dict[int, float] = defaultdict(float)
        self._least: dict[Party, float] | None = None

    def arrived(self, job: Job) -> None:
        job_id = id_of(job)
        for known in (self._waiting, self._parties[party_of(job)], self._lanes[job.lane, job.priority]):
            known[job_id] = job

    def waits(self) -> bool:
        return bool(self._waiting)

    def decide(self, now: float) -> Iterator[Move]:
        self._take_back(now)
        slots = [self._slot(machine, now) for machine in self._machines]
        if not self._waiting or all(slot.kind is SlotKind.BUSY for slot in slots):
            return
        shares = self._shares()
        jobs = [_waiting(job, now) for job in self._window(slots, shares)]
        placed = policy.assign(slots, jobs, shares, self._fleet)
        behind = prefetch.assign_behind(placed, jobs, shares, self._fleet, self._short)
        for placement in (*placed, *behind):
            yield self._begin(placement, now)

    def _slot(self, machine: Machine, now: float) -> Slot:
        warm, stay = machine.warmth.lanes(), max(machine.stay_until - now, 0.0)
        run = machine.running
        if run is None:
            return Slot(machine.id, 0, SlotKind.IDLE, 0.0, warm, stay)
        rest = prefetch.expected_rest(run.load + self._fleet.run, now - run.begin) or 0.0
        if machine.ahead is None and prefetch.may_place_ahead(rest, video=False):
            return Slot(machine.id, 0, SlotKind.AHEAD, rest, warm, stay)
        behind = self._fleet.run + machine.load_seconds(machine.ahead.lane) if machine.ahead else 0.0
        lanes = frozenset({machine.ahead.lane}) if machine.ahead else warm
        return Slot(machine.id, 0, SlotKind.BUSY, rest + behind, lanes, stay)

    def _shares(self) -> dict[Party, Share]:
        """As the feeder reads them: those that were given least first, no more than one question brings."""
        running = Counter(party_of(job) for machine in self._machines for job in machine.jobs() if job)
        standings = [self._standing(party, running[party]) for party, line in self._parties.items() if line]
        self._least = fairness.bases(standings, self._least)
        shares = fairness.shares(standings, self._least)
        first = sorted(shares, key=lambda party: (-party.priority, shares[party].virtual_time, party.account_id))
        return {party: shares[party] for party in first[:PARTIES]}

    def _standing(self, party: Party, running: int) -> Standing:
        return Standing(party, self._given.get(party), self._clock[party.priority], on_servers=running)

    def _window(self, slots: Sequence[Slot], shares: Mapping[Party, Share]) -> list[Job]:
        """Some jobs of each party, more where few wait, and the first of each lane that is warm and free."""
        free = [slot for slot in slots if slot.kind is not SlotKind.BUSY]
        enough = max(64, 4 * len(free)) // len(shares)
        each = max(min(max(len(free), 4), 16), enough)
        found = [job for party in shares for job in itertools.islice(self._parties[party].values(), each)]
        for lane in sorted({lane for slot in free for lane in slot.warm}):
            waiting = itertools.chain.from_iterable(self._lanes[lane, priority].values() for priority in CLASSES)
            found += [job for job in itertools.islice(waiting, OF_LANE) if party_of(job) in shares]
        return list({job.number: job for job in found}.values())

    def _short(self, _placement: Placement) -> float | None:
        return self._fleet.run if prefetch.may_place_ahead(self._fleet.run, video=False) else None

    def _begin(self, placement: Placement, now: float) -> Move:
        job = self._waiting[placement.job_id]
        party, machine = party_of(job), self._by_id[placement.slot.server_id]
        self._leave(job)
        begin = max(self._given.get(party, 0.0), (self._least or {}).get(party, 0.0))
        self._given[party] = begin + placement.cost
        self._clock[party.priority] = max(self._clock[party.priority], begin)
        load = machine.load_seconds(job.lane)
        if load:
            machine.stay_until = now + placement.slot.rest + load + policy.stay_after_swap(load)
        return Move(machine, job.lane, job)

    def _leave(self, job: Job) -> None:
        for known in (self._waiting, self._parties[party_of(job)], self._lanes[job.lane, job.priority]):
            del known[id_of(job)]

    def _take_back(self, now: float) -> None:
        """A prompt that waits behind another begins sooner on a server that is idle now."""
        idle = [machine for machine in self._machines if machine.running is None]
        for machine in self._machines:
            job, run = machine.ahead, machine.running
            if job is None or run is None or not idle:
                continue
            rest = prefetch.expected_rest(run.load + self._fleet.run, now - run.begin) or 0.0
            if any(prefetch.worth_taking_back(rest, other.load_seconds(job.lane)) for other in idle):
                machine.ahead = None
                self.arrived(job)


@functools.cache
def party_of(job: Job) -> Party:
    return Party(job.priority, AccountId(UUID(int=job.account)))


@functools.cache
def id_of(job: Job) -> JobId:
    return JobId(UUID(int=job.number))


def _waiting(job: Job, now: float) -> Waiting:
    return Waiting(id_of(job), 0, job.lane, b"", party_of(job), job.number, now - job.at)
