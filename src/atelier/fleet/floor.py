"""The servers during one decision: what is free, when the others will be, and who waits for what is warm where."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from atelier.fleet.model import Slot, SlotKind, Waiting
from atelier.kit.ids import JobId, ServerId

Capable = Callable[[ServerId, int], bool]

Kind = tuple[str, int, frozenset[ServerId], int]
"""What jobs have in common that may go to the same servers, with the same loading there."""


def kind(job: Waiting) -> Kind:
    return (job.lane, job.requirement_id, job.avoid, job.vram_over)


@dataclass(slots=True, eq=False)
class Bay:
    """One server. `rest`: seconds until one more job would begin there, counting what this decision gave it."""

    slot: Slot
    rest: float
    warm: frozenset[str]
    open: bool
    uses: float | None = None

    @property
    def server_id(self) -> ServerId:
        return self.slot.server_id

    def has(self, lane: str) -> bool:
        """Whether a job of this lane begins there without loading; one without models does anywhere."""
        return not lane or lane in self.warm


class Floor:
    """All servers known to the decision, by id."""

    def __init__(self, slots: Iterable[Slot], waiting: Iterable[Waiting], capable: Capable) -> None:
        ordered = sorted(slots, key=lambda slot: (slot.server_id, slot.kind is not SlotKind.IDLE))
        self.bays = [Bay(slot, slot.rest, slot.warm, slot.kind is not SlotKind.BUSY) for slot in ordered]
        self._capable = capable
        self._able: dict[int, list[Bay]] = {}
        self._allowed: dict[tuple[int, frozenset[ServerId], int], list[Bay]] = {}
        self._copies = Counter(lane for bay in self.bays for lane in bay.warm)
        self._wanted = Counter(job.lane for job in waiting)
        self._rivals: dict[str, list[Waiting]] = {}
        self.held: set[JobId] = set()

    @property
    def full(self) -> bool:
        return not any(bay.open for bay in self.bays)

    def bays_for(self, job: Waiting) -> Sequence[Bay]:
        """The servers that can run it; those that failed it or were too small only where there is no other."""
        key = (job.requirement_id, job.avoid, job.vram_over)
        if key not in self._allowed:
            able = self._able_to(job.requirement_id)
            large = [bay for bay in able if _is_large(bay.slot, job.vram_over)] or able
            self._allowed[key] = [bay for bay in large if bay.server_id not in job.avoid] or large
        return self._allowed[key]

    def _able_to(self, requirement_id: int) -> list[Bay]:
        if requirement_id not in self._able:
            capable = self._capable
            self._able[requirement_id] = [bay for bay in self.bays if capable(bay.server_id, requirement_id)]
        return self._able[requirement_id]

    def expect(self, in_order: Iterable[Waiting]) -> None:
        """These wait now, in the order in which they may choose."""
        self._rivals = {}
        for job in in_order:
            self._rivals.setdefault(job.lane, []).append(job)
        for jobs in self._rivals.values():
            jobs.reverse()

    def rival(self, bay: Bay, done: AbstractSet[JobId]) -> Waiting | None:
        """Who would go there next without a swap."""
        first: Waiting | None = None
        for lane in bay.warm:
            job = self._first(lane, done) if lane in self._rivals else None
            if job is not None and (first is None or (job.position, job.job_id) < (first.position, first.job_id)):
                first = job
        return first

    def _first(self, lane: str, done: AbstractSet[JobId]) -> Waiting | None:
        rivals = self._rivals[lane]
        while rivals and rivals[-1].job_id in done:
            rivals.pop()
        return rivals[-1] if rivals else None

    def uses(self, bay: Bay) -> float:
        """How much would be lost with what is warm there: lanes that wait, and that no other server has."""
        if bay.uses is None:
            bay.uses = sum((1.0 + self._wanted[lane]) / self._copies[lane] for lane in bay.warm)
        return bay.uses

    def hold(self, bay: Bay, job: Waiting, seconds: float) -> None:
        """Nobody else is placed ahead there: this job is to have the server when it is free."""
        self.held.add(job.job_id)
        self.take(bay, job.lane, seconds)

    def take(self, bay: Bay, lane: str, seconds: float) -> None:
        """A job of this lane begins there, and the next after it `seconds` later."""
        bay.open = False
        bay.rest += seconds
        if not bay.has(lane):
            bay.warm = frozenset({lane})


def _is_large(slot: Slot, vram_over: int) -> bool:
    """Unknown memory may be enough."""
    return not slot.vram or slot.vram > vram_over
