"""What waits in a simulated time: a line per party, in it a queue for each group of jobs that may run alike."""

import bisect
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from atelier.fleet.model import Party, Share, Waiting
from atelier.kit.ids import ServerId


@dataclass(slots=True, eq=False)
class Bay:
    """A server that takes jobs. Times in simulated seconds; `sure`: whether `free_at` rests on measured runs.

    `begun`: when it was given jobs, of which `per_minute` are allowed within a minute (0: any number). A canary's
    `share` is below 1: its part of the jobs that others could run; `passed` counts what these were given.
    """

    server_id: ServerId
    order: int
    free_at: float
    sure: bool
    warm: frozenset[str]
    stay_until: float
    vram: int
    share: float
    per_minute: int
    begun: deque[float]
    open: bool = False
    passed: float = 0.0

    def has(self, lane: str) -> bool:
        """Whether a job of this lane begins there without loading."""
        return not lane or lane in self.warm

    def may_take(self, *, others: bool) -> bool:
        """Whether it is its turn for a job, which `others` could run as well or not."""
        return not others or self.share >= 1 or self.passed + self.share >= 1.0 - 1e-9


@dataclass(slots=True, eq=False)
class Group:
    """Jobs of one class that are alike in what decides where they may run; `others`: not on canaries alone."""

    lane: str
    bays: frozenset[Bay]
    others: bool


@dataclass(slots=True, eq=False)
class Line:
    """One party: what it was given, in seconds divided by its weight, and its jobs by group, oldest first."""

    party: Party
    time: float
    weight: float
    turn: tuple[float, int]
    queues: dict[Group, deque[Waiting]] = field(default_factory=dict[Group, deque[Waiting]])

    def put(self, job: Waiting, group: Group) -> None:
        queue = self.queues.setdefault(group, deque())
        queue.insert(bisect.bisect(queue, job.position, key=_position), job)
        self._look()

    def give(self, job: Waiting, group: Group, seconds: float) -> None:
        """Let this job begin, at a cost of `seconds`."""
        self.queues[group].remove(job)
        if not self.queues[group]:
            del self.queues[group]
        self.time += seconds / self.weight
        self._look()

    def first_of(self, lane: str) -> Waiting | None:
        """Its oldest job of this lane."""
        firsts = [queue[0] for group, queue in self.queues.items() if group.lane == lane]
        return min(firsts, key=_position, default=None)

    def _look(self) -> None:
        self.turn = (self.time, min((queue[0].position for queue in self.queues.values()), default=0))


def in_turn(
    waiting: Iterable[Waiting], shares: Mapping[Party, Share], cost: Callable[[Waiting], float]
) -> Iterator[Waiting]:
    """What waits, in the order in which it would begin on a single server that can run everything."""
    jobs: dict[Party, list[Waiting]] = {}
    for job in waiting:
        jobs.setdefault(job.party, []).append(job)
    heap = [
        (-party.priority, _share(shares, party).virtual_time, mine[0].position, 0, party)
        for party, mine in jobs.items()
    ]
    heapq.heapify(heap)
    while heap:
        priority, time, _, place, party = heap[0]
        mine = jobs[party]
        yield mine[place]
        if place + 1 < len(mine):
            time += cost(mine[place]) / _share(shares, party).weight
            heapq.heapreplace(heap, (priority, time, mine[place + 1].position, place + 1, party))
        else:
            heapq.heappop(heap)


def _share(shares: Mapping[Party, Share], party: Party) -> Share:
    return shares.get(party) or Share()


def _position(job: Waiting) -> int:
    return job.position
