"""The course that things will take: servers become free one after the other, and somebody begins there."""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from atelier.fleet.lines import Bay, Group, Line
from atelier.fleet.model import Party, Share, Waiting
from atelier.fleet.moment import Choice, Chooser, Moment
from atelier.fleet.policy import UNMEASURED_RUN, stay_after_swap
from atelier.fleet.scene import Scene, Sharing, Station, sharing
from atelier.kit.ids import JobId, ServerId

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Begin:
    """A job begins `at` seconds from now there; `sure` when every run before it was measured."""

    at: float
    server_id: ServerId
    sure: bool


@dataclass(frozen=True, slots=True)
class _Event:
    """A server becomes free, somebody's job ends, a job may be tried again."""

    bay: Bay | None = None
    ended: Sharing | None = None
    ripe: Waiting | None = None


class Course:
    """One run through the future of `jobs`. Those that no open server can run never begin."""

    def __init__(self, scene: Scene, jobs: Sequence[Waiting]) -> None:
        self._scene = scene
        self._costs = _Costs(scene)
        self._moment = Moment(self._costs.run, self._costs.load)
        self._events: list[tuple[float, int, _Event]] = []
        self._number = itertools.count()
        self._begins: dict[JobId, Begin] = {}
        self._running = scene.running
        self._groups: dict[object, Group] = {}
        self._lines: dict[Party, Line] = {}
        open_stations = [station for station in scene.stations.values() if not station.closed]
        self._bays = [self._bay(place, station) for place, station in enumerate(open_stations)]
        self._canaries = [bay for bay in self._bays if bay.share < 1]
        self._foresee_ends()
        for job in jobs:
            self._enter(job)

    def begins(self) -> dict[JobId, Begin]:
        """When and where each begins."""
        self._fill()
        while self._events:
            now = self._moment.now = self._events[0][0]
            while self._events and self._events[0][0] <= now:
                self._happen(heapq.heappop(self._events)[2])
            self._fill()
        return self._begins

    # What there is at the beginning --------------------------------------------------------------

    def _bay(self, place: int, station: Station) -> Bay:
        rest = sum(UNMEASURED_RUN if one.rest is None else one.rest for one in station.busy)
        bay = Bay(
            server_id=station.server_id,
            order=place,
            free_at=max(rest, station.next_start),
            sure=station.rest is not None,
            warm=station.warm,
            stay_until=station.stay,
            vram=station.vram,
            share=station.share,
            per_minute=station.per_minute,
            begun=deque(-age for age in sorted(station.begun, reverse=True)),
        )
        for lane in bay.warm:
            self._moment.warm.setdefault(lane, set()).add(bay)
        if bay.free_at > 0:
            self._at(bay.free_at, _Event(bay=bay))
        else:
            bay.open = True
        return bay

    def _foresee_ends(self) -> None:
        for station in self._scene.stations.values():
            end = 0.0
            for one in station.busy:
                end += UNMEASURED_RUN if one.rest is None else one.rest
                self._at(end, _Event(ended=sharing(one.party)))

    def _enter(self, job: Waiting) -> None:
        share = self._scene.shares.get(job.party)
        if share is not None and share.may_begin is not None:
            self._moment.room[sharing(job.party)] = share.may_begin
        retry = self._scene.retries.get(job.job_id)
        if retry is None:
            self._queue(job)
        else:
            self._at(retry.seconds, _Event(ripe=job))

    def _queue(self, job: Waiting) -> None:
        """It may begin from now on, where a server can run it."""
        party = job.party
        key = (party.priority, job.requirement_id, job.lane, job.avoid, job.vram_over)
        group = self._groups.get(key)
        if group is None:
            allowed = frozenset(self._allowed(job))
            group = self._groups[key] = Group(job.lane, allowed, any(bay.share >= 1 for bay in allowed))
        if not group.bays:
            return
        if party not in self._lines:
            share = self._scene.shares.get(party) or Share()
            self._lines[party] = Line(party, share.virtual_time, share.weight, (share.virtual_time, job.position))
        self._lines[party].put(job, group)
        self._moment.lines.setdefault(party.priority, {})[party] = self._lines[party]
        self._moment.groups.setdefault(party.priority, Counter())[group] += 1
        self._moment.wanted[job.lane] += 1

    def _allowed(self, job: Waiting) -> Sequence[Bay]:
        """The servers that can run it; those that failed it or were too small only where there is no other."""
        able = [bay for bay in self._bays if self._scene.satisfies(bay.server_id, job.requirement_id)]
        large = [bay for bay in able if not bay.vram or bay.vram > job.vram_over] or able
        return [bay for bay in large if bay.server_id not in job.avoid] or large

    # Time ----------------------------------------------------------------------------------------

    def _at(self, when: float, event: _Event) -> None:
        heapq.heappush(self._events, (when, next(self._number), event))

    def _happen(self, event: _Event) -> None:
        if event.bay is not None:
            event.bay.open = True
        if event.ended is not None:
            self._running -= 1
            if event.ended in self._moment.room:
                self._moment.room[event.ended] += 1
        if event.ripe is not None:
            self._queue(event.ripe)

    def _fill(self) -> None:
        """Give away what is free; classes strictly first."""
        free = [bay for bay in self._bays if bay.open]
        self._moment.left.clear()
        for priority in sorted(self._moment.lines, reverse=True):
            while free and self._may_run_more():
                choice = Chooser(self._moment, priority, free).choose()
                if choice is None:
                    break
                self._begin(choice)
                free.remove(choice.bay)

    def _may_run_more(self) -> bool:
        limit = self._scene.limits.running
        return not limit or self._running < limit

    def _begin(self, choice: Choice) -> None:
        job, bay = choice.job, choice.bay
        load = 0.0 if bay.has(job.lane) else self._costs.load(job, bay)
        seconds = load + self._costs.run(job, bay)
        self._begins[job.job_id] = Begin(self._moment.now, bay.server_id, bay.sure)
        bay.sure = bay.sure and self._costs.measured(job, bay)
        choice.line.give(job, choice.group, seconds)
        self._take_out(choice)
        self._count_canaries(choice)
        if not bay.has(job.lane):
            self._swap(bay, job, load)
        self._occupy(bay, seconds, sharing(job.party))

    def _take_out(self, choice: Choice) -> None:
        """It waits no more."""
        priority, groups = choice.job.party.priority, self._moment.groups[choice.job.party.priority]
        self._moment.wanted[choice.job.lane] -= 1
        groups[choice.group] -= 1
        if not groups[choice.group]:
            del groups[choice.group]
        if not choice.line.queues:
            del self._moment.lines[priority][choice.line.party]

    def _count_canaries(self, choice: Choice) -> None:
        """A canary's part is counted over the jobs that it could have been given, and others as well."""
        for bay in self._canaries:
            if choice.group.others and bay in choice.group.bays:
                bay.passed = min(bay.passed + bay.share, 1.0 + bay.share) - (bay is choice.bay)

    def _swap(self, bay: Bay, job: Waiting, load: float) -> None:
        if any(self._moment.wanted[lane] for lane in bay.warm):
            bay.stay_until = self._moment.now + load + stay_after_swap(load)
        for before in bay.warm:
            self._moment.warm[before].discard(bay)
        bay.warm = frozenset({job.lane})
        self._moment.warm.setdefault(job.lane, set()).add(bay)

    def _occupy(self, bay: Bay, seconds: float, who: Sharing) -> None:
        bay.open = False
        bay.begun.append(self._moment.now)
        self._running += 1
        if who in self._moment.room:
            self._moment.room[who] -= 1
        end = self._moment.now + seconds
        bay.free_at = max(end, self._next_start(bay))
        if bay.free_at > end:
            self._at(end, _Event(ended=who))
            self._at(bay.free_at, _Event(bay=bay))
        else:
            self._at(end, _Event(bay=bay, ended=who))

    def _next_start(self, bay: Bay) -> float:
        """When its cap per minute lets it begin one more."""
        if not bay.per_minute or len(bay.begun) < bay.per_minute:
            return 0.0
        while len(bay.begun) > bay.per_minute:
            bay.begun.popleft()
        return bay.begun[0] + MINUTE


class _Costs:
    """Seconds of runs and loads, each asked once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._runs: dict[tuple[bytes, ServerId], float] = {}
        self._loads: dict[tuple[str, ServerId], float] = {}
        self._guessed: set[tuple[bytes, ServerId]] = set()

    def run(self, job: Waiting, bay: Bay) -> float:
        key = (job.shape, bay.server_id)
        known = self._runs.get(key)
        return self._ask_run(key) if known is None else known

    def measured(self, job: Waiting, bay: Bay) -> bool:
        return (job.shape, bay.server_id) not in self._guessed

    def load(self, job: Waiting, bay: Bay) -> float:
        key = (job.lane, bay.server_id)
        known = self._loads.get(key)
        if known is None:
            known = self._loads[key] = self._scene.load_seconds(*key)
        return known

    def _ask_run(self, key: tuple[bytes, ServerId]) -> float:
        seconds = self._scene.run_seconds(*key)
        if seconds is None:
            self._guessed.add(key)
        self._runs[key] = UNMEASURED_RUN if seconds is None else seconds
        return self._runs[key]
