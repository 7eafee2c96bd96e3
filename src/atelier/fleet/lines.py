"""What waits in a simulated time: a line per party, in it a queue for each group of jobs that may run alike."""

import bisect
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from atelier.fleet.model import Party, Share, Waiting, turn_in_party
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
    """One party: what it was given, in seconds divided by its weight, and its jobs by group, in its own order.

    `ages`: the positions of its jobs, sorted. Its turn is as old as the oldest, whichever job goes first.
    """

    party: Party
    time: float
    weight: float
    turn: tuple[float, int]
    queues: dict[Group, deque[Waiting]] = field(default_factory=dict[Group, deque[Waiting]])
    ages: list[int] = field(default_factory=list[int])

    def put(self, job: Waiting, group: Group) -> None:
        queue = self.queues.setdefault(group, deque())
        queue.insert(bisect.bisect(queue, turn_in_party(job), key=turn_in_party), job)
        bisect.insort(self.ages, job.position)
        self._look()

    def give(self, job: Waiting, group: Group, seconds: float) -> None:
        """Let this job begin, at a cost of `seconds`."""
        self.queues[group].remove(job)
        if not self.queues[group]:
            del self.queues[group]
        self.time += seconds / self.weight
        del self.ages[bisect.bisect_left(self.ages, job.position)]
        self._look()

    def first_of(self, lane: str) -> Waiting | None:
        """Its next job of this lane."""
        firsts = [queue[0] for group, queue in self.queues.items() if group.lane == lane]
        return min(firsts, key=turn_in_party, default=None)

    def _look(self) -> None:
        self.turn = (self.time, self.ages[0] if self.ages else 0)


def in_turn(
    waiting: Iterable[Waiting], shares: Mapping[Party, Share], cost: Callable[[Waiting], float]
) -> Iterator[Waiting]:
    """What waits, in the order in which it would begin on a single server that can run everything."""
    jobs: dict[Party, list[Waiting]] = {}
    for job in waiting:
        jobs.setdefault(job.party, []).append(job)
    ages = {party: sorted(job.position for job in mine) for party, mine in jobs.items()}
    for mine in jobs.values():
        mine.sort(key=turn_in_party)
    heap = [(-party.priority, _share(shares, party).virtual_time, ages[party][0], 0, party) for party in jobs]
    heapq.heapify(heap)
    while heap:
        priority, time, _, place, party = heap[0]
        mine = jobs[party]
        yield mine[place]
        if place + 1 < len(mine):
            time += cost(mine[place]) / _share(shares, party).weight
            heapq.heapreplace(heap, (priority, time, ages[party][place + 1], place + 1, party))
        else:
            heapq.heappop(heap)


def _share(shares: Mapping[Party, Share], party: Party) -> Share:
    return shares.get(party) or Share()
