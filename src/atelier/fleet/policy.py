"""Which waiting job goes to which free slot, and why: a pure function of values.

Classes strictly first. Inside a class the party that was given least for its weight chooses first; inside a party
the lowest number, and where nobody chose one, first in, first out. A job goes where it begins soonest, loading
counted, so it is left to a busy server with its models when that one is free before a swap would be done. A server
stays with its warm models while jobs for them wait, until another job would wait longer than the bound; after such
a forced swap it stays a while again.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from atelier.fleet.floor import Bay, Floor, Kind, kind
from atelier.fleet.model import Party, Placement, Share, Slot, SlotKind, Waiting
from atelier.fleet.turns import Turns
from atelier.kit.ids import ServerId

WAIT_AT_MOST = 30.0
WAIT_SWAPS = 6.0
"""Nobody waits for the sake of warm models longer than the greater of these seconds and swap times."""

STAY_SWAPS = 4.0
"""After a forced swap a server stays with the new models for this many swap times, if jobs for them wait."""

OWED_AT_MOST = 60.0
"""A job over the bound goes before a warm one whose party was given so much more (seconds by weight)."""

OLDER_BY = 4.0
"""Where both are over the bound, a swap helps nobody; it is made for a job that is older by so many bounds."""

SWAP_AHEAD = 0.25
"""A job that loads no longer than this (seconds) may be placed behind one that runs."""

UNMEASURED_RUN = 5.0
"""Seconds that a run is taken to last where none was measured."""


class Knowledge(Protocol):
    """What is known of the fleet beside its slots. Durations in seconds."""

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        """Whether this server satisfies the requirement set of this id."""
        ...

    def run_seconds(self, shape: bytes, server_id: ServerId) -> float | None:
        """How long a graph of this shape runs there with its models loaded; None: never measured."""
        ...

    def load_seconds(self, lane: str, server_id: ServerId) -> float:
        """How long this lane's models take to load there; a guess where it was not measured."""
        ...


def assign(
    slots: Sequence[Slot], waiting: Sequence[Waiting], shares: Mapping[Party, Share], fleet: Knowledge
) -> list[Placement]:
    """The best use of what is free now. A slot takes one job; the order of what is given does not matter."""
    floor = Floor(slots, waiting, fleet.satisfies)
    placements: list[Placement] = []
    for priority in sorted({job.party.priority for job in waiting}, reverse=True):
        turns = Turns([job for job in waiting if job.party.priority == priority], shares)
        for spare in (False, True):
            placements += _Round(floor, turns, fleet, spare=spare).placements()
    return placements


@dataclasses.dataclass(frozen=True, slots=True)
class _Round:
    """Every job of a class chooses once; when all have, servers that nobody wants for what is warm are `spare`."""

    floor: Floor
    turns: Turns
    fleet: Knowledge
    spare: bool

    def placements(self) -> Iterator[Placement]:
        if self.floor.full:
            return
        self.floor.expect(self.turns.in_order())
        hopeless: dict[Kind, float] = {}
        for job in self.turns.in_order():
            if job.age <= hopeless.get(kind(job), -1.0):
                continue
            bay = self._soonest(job)
            if bay is None:
                hopeless[kind(job)] = job.age
            elif not bay.open:
                self._leave(job, bay)
            elif not self._begins_now(job, bay):
                self.floor.hold(bay, job, self._cost(job, bay))
            else:
                yield self._place(job, bay)
            if self.floor.full:
                return

    def _soonest(self, job: Waiting) -> Bay | None:
        """Where it begins first, loading counted; of those that load, where the least is lost."""
        bays = self.floor.bays_for(job)
        warm = min([bay for bay in bays if bay.has(job.lane)], key=_free_first, default=None)
        if warm is not None and warm.rest <= 0:
            return warm
        swap, least = None, math.inf
        for bay in bays:
            if bay.open and not bay.has(job.lane) and self._may_swap(job, bay, warm):
                loss = self._ready(job, bay) + self.floor.uses(bay)
                swap, least = (bay, loss) if loss < least else (swap, least)
        if swap is None or (warm is not None and warm.rest <= self._ready(job, swap)):
            return warm
        return swap

    def _may_swap(self, job: Waiting, bay: Bay, warm: Bay | None) -> bool:
        """Whether this server may give up what is warm there for this job."""
        if job.job_id in self.floor.held and not self._begins_now(job, bay):
            return False
        rival = None if self.spare else self.floor.rival(bay, self.turns.done)
        return rival is None or (bay.slot.stay <= 0 and self._must_swap(job, bay, rival, warm))

    def _must_swap(self, job: Waiting, bay: Bay, rival: Waiting, warm: Bay | None) -> bool:
        """Whether it would wait too long if the rival, whose models are warm there, went first."""
        bound = longest_wait(self.fleet.load_seconds(job.lane, bay.server_id))
        if job.age + bay.rest + self._run(rival, bay) < bound:
            return False
        if self.turns.time_of(rival) - self.turns.time_of(job) > OWED_AT_MOST:
            return True
        if rival.age < bound:
            return warm is None or warm.rest > bound
        return job.age - rival.age > OLDER_BY * bound

    def _begins_now(self, job: Waiting, bay: Bay) -> bool:
        """A swap is not placed ahead of its turn: until the server is free, its own models may be wanted again."""
        return bay.slot.kind is SlotKind.IDLE or self._load(job, bay) <= SWAP_AHEAD

    def _place(self, job: Waiting, bay: Bay) -> Placement:
        cost = self._cost(job, bay)
        placement = Placement(job.job_id, bay.slot, _reason(job, bay, self._load(job, bay)), cost)
        self.floor.take(bay, job.lane, cost)
        self.turns.give(job, cost)
        return placement

    def _leave(self, job: Waiting, bay: Bay) -> None:
        """A busy server has its models and takes it soon; what waits behind it there begins so much later."""
        bay.rest += self._run(job, bay)
        self.turns.done.add(job.job_id)

    def _cost(self, job: Waiting, bay: Bay) -> float:
        return self._run(job, bay) + self._load(job, bay)

    def _ready(self, job: Waiting, bay: Bay) -> float:
        return bay.rest + self._load(job, bay)

    def _load(self, job: Waiting, bay: Bay) -> float:
        return 0.0 if bay.has(job.lane) else max(self.fleet.load_seconds(job.lane, bay.server_id), 0.0)

    def _run(self, job: Waiting, bay: Bay) -> float:
        run = self.fleet.run_seconds(job.shape, bay.server_id)
        return UNMEASURED_RUN if run is None else max(run, 0.0)


def longest_wait(swap: float) -> float:
    """Seconds that a job may wait for the sake of warm models, where a swap takes `swap` seconds."""
    return max(WAIT_AT_MOST, WAIT_SWAPS * swap)


def stay_after_swap(swap: float) -> float:
    """Seconds that a server stays with models that took `swap` seconds to load, if jobs for them wait."""
    return STAY_SWAPS * swap


def _free_first(bay: Bay) -> tuple[float, bool, ServerId]:
    return (bay.rest, not bay.open, bay.server_id)


def _reason(job: Waiting, bay: Bay, load: float) -> str:
    idle = bay.slot.kind is SlotKind.IDLE
    free = f"{bay.server_id} is idle" if idle else f"{bay.server_id} is free in about {bay.rest:.1f} s"
    if not job.lane:
        return free
    if bay.has(job.lane):
        return f"{free} and has {job.lane} loaded"
    return f"{free}; {job.lane} is loaded there in about {load:.1f} s"
