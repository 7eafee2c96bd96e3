"""One moment of a simulated time: which job begins next on which free server, by the rules of the policy."""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from atelier.fleet import policy
from atelier.fleet.lines import Bay, Group, Line
from atelier.fleet.model import Party, Waiting, turn_in_party
from atelier.fleet.scene import Sharing, sharing

Seconds = Callable[[Waiting, Bay], float]


@dataclass(slots=True)
class Moment:
    """All that a decision looks at. `run` and `load`: seconds of a job there, `load` as if its models were not.

    `room`: how many more jobs of somebody may begin. `lines` and `groups` by class, of what waits; `wanted`: how
    many jobs of a lane wait. `left`: how many more of them the busy servers that have it would take sooner than a
    swap lasts.
    """

    run: Seconds
    load: Seconds
    now: float = 0.0
    room: dict[Sharing, int] = field(default_factory=dict[Sharing, int])
    lines: dict[int, dict[Party, Line]] = field(default_factory=dict[int, dict[Party, Line]])
    groups: dict[int, Counter[Group]] = field(default_factory=dict[int, Counter[Group]])
    wanted: Counter[str] = field(default_factory=Counter[str])
    left: dict[str, int] = field(default_factory=dict[str, int])
    warm: dict[str, set[Bay]] = field(default_factory=dict[str, set[Bay]])

    def may_begin(self, party: Party) -> bool:
        return self.room.get(sharing(party), 1) > 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose turn it was, and where it begins."""

    line: Line
    group: Group
    job: Waiting
    bay: Bay


class Chooser:
    """Decides for one class. When all have chosen, servers that nobody wants for what is warm there are spare."""

    def __init__(self, moment: Moment, priority: int, free: Sequence[Bay]) -> None:
        self._moment = moment
        self._free = free
        self._lines = sorted(moment.lines[priority].values(), key=lambda line: line.turn)
        self._groups = moment.groups[priority]
        self._spare = False
        self._left: dict[str, int] = {}
        self._bays: dict[Group, tuple[Bay | None, Sequence[Bay]]] = {}
        self._rivals: dict[Bay, tuple[Line, Waiting] | None] = {}
        self._firsts: dict[str, tuple[Line, Waiting] | None] = {}
        self._uses: dict[Bay, float] = {}

    def choose(self) -> Choice | None:
        """The first in turn that can begin now, and where it begins soonest."""
        choice = self._first_choice()
        if choice is None and any(self._warm_rest(group) == math.inf for group in self._groups):
            self._spare = True
            choice = self._first_choice()
        if choice is None:
            self._moment.left |= self._left
        return choice

    def _first_choice(self) -> Choice | None:
        for line in self._lines:
            if self._moment.may_begin(line.party):
                choice = self._of_line(line)
                if choice is not None:
                    return choice
        return None

    def _of_line(self, line: Line) -> Choice | None:
        best: Choice | None = None
        queues = line.queues.items()
        for group, queue in queues if len(queues) == 1 else sorted(queues, key=_next):
            if best is not None and turn_in_party(best.job) < turn_in_party(queue[0]):
                break
            found = self._of_group(line, group, queue)
            if found is not None and (best is None or turn_in_party(found[0]) < turn_in_party(best.job)):
                best = Choice(line, group, *found)
        return best

    def _of_group(self, line: Line, group: Group, queue: deque[Waiting]) -> tuple[Waiting, Bay] | None:
        warm, cold = self._free_for(group)
        if warm is not None:
            return queue[0], warm
        if not cold or (self._spare and self._warm_rest(group) < math.inf):
            return None
        left = self._take_left(group, queue, cold[0])
        if left == len(queue):
            return None
        job = queue[left]
        swaps = [bay for bay in cold if self._may_swap(line, group, job, bay)]
        return (job, min(swaps, key=lambda bay: self._loss(job, bay))) if swaps else None

    def _free_for(self, group: Group) -> tuple[Bay | None, Sequence[Bay]]:
        """A free server that has its models; all that would have to load them."""
        known = self._bays.get(group)
        if known is None:
            bays = [bay for bay in self._free if bay in group.bays and bay.may_take(others=group.others)]
            warm = next((bay for bay in bays if bay.has(group.lane)), None)
            known = self._bays[group] = (warm, bays)
        return known

    def _take_left(self, group: Group, queue: deque[Waiting], bay: Bay) -> int:
        """How many of these are left to busy servers that have their models and are free sooner than a swap is."""
        left = self._left.get(group.lane)
        if left is None:
            left = self._moment.left.get(group.lane)
        if left is None:
            left = self._places(group, queue[0], self._moment.load(queue[0], bay))
        taken = min(left, len(queue))
        self._left[group.lane] = left - taken
        return taken

    def _places(self, group: Group, job: Waiting, swap: float) -> int:
        places, now = 0, self._moment.now
        for bay in self._moment.warm.get(group.lane, ()):
            rest = bay.free_at - now
            if rest <= swap and bay in group.bays:
                places += 1 + int((swap - rest) / max(self._moment.run(job, bay), 0.1))
        return places

    def _may_swap(self, line: Line, group: Group, job: Waiting, bay: Bay) -> bool:
        """Whether this server may give up what is warm there for this job."""
        rival = self._rival(bay)
        return rival is None or (bay.stay_until <= self._moment.now and self._must_swap(line, group, job, bay))

    def _must_swap(self, line: Line, group: Group, job: Waiting, bay: Bay) -> bool:
        """Whether it would wait too long if the rival, whose models are warm there, went first."""
        other, rival = self._rivals[bay] or (line, job)
        now = self._moment.now
        bound = policy.longest_wait(self._moment.load(job, bay))
        if job.age + now + self._moment.run(rival, bay) < bound:
            return False
        if other.time - line.time > policy.OWED_AT_MOST:
            return True
        if rival.age + now < bound:
            return self._warm_rest(group) > bound
        return job.age - rival.age > policy.OLDER_BY * bound

    def _warm_rest(self, group: Group) -> float:
        """Seconds until a server is free that has its models; infinite where none has."""
        bays = self._moment.warm.get(group.lane, set()) & group.bays
        return min((bay.free_at - self._moment.now for bay in bays), default=math.inf)

    def _rival(self, bay: Bay) -> tuple[Line, Waiting] | None:
        """Who would go there next without a swap: of the first in turn for each warm lane, the oldest."""
        if self._spare:
            return None
        if bay not in self._rivals:
            firsts = [first for lane in bay.warm if (first := self._first(lane))]
            self._rivals[bay] = min(firsts, key=lambda first: first[1].position, default=None)
        return self._rivals[bay]

    def _first(self, lane: str) -> tuple[Line, Waiting] | None:
        """Whose turn comes first among those who wait for a lane."""
        if lane not in self._firsts:
            found = ((line, job) for line in self._lines if (job := line.first_of(lane)))
            self._firsts[lane] = next((first for first in found if self._moment.may_begin(first[0].party)), None)
        return self._firsts[lane]

    def _loss(self, job: Waiting, bay: Bay) -> tuple[float, int]:
        """What a swap costs there: the loading, and what is warm there and nowhere else."""
        if bay not in self._uses:
            warm, wanted = self._moment.warm, self._moment.wanted
            self._uses[bay] = sum((1.0 + wanted[lane]) / len(warm[lane]) for lane in bay.warm)
        return (self._moment.load(job, bay) + self._uses[bay], bay.order)


def _next(item: tuple[Group, deque[Waiting]]) -> tuple[float, int]:
    return turn_in_party(item[1][0])
