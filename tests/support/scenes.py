"""Scenes for forecasts, and the policy itself driven through a simulated time, to compare them with."""

import dataclasses
import heapq
import random
import uuid
from typing import Any

from atelier.fleet import policy
from atelier.fleet.model import Missing, ModelRef, Party, Placement, Share, Slot, SlotKind, Waiting
from atelier.fleet.scene import Busy, Scene, Station
from atelier.kit.ids import AccountId, JobId, ServerId

RUN, LOAD = 10.0, 5.0
NOTHING = Missing(frozenset(), frozenset())
LACKING = Missing(frozenset(), frozenset({ModelRef("CheckpointLoaderSimple", "ckpt_name", "rare.safetensors")}))


def party(number: int = 1, priority: int = 5, end_user: str = "") -> Party:
    return Party(priority, AccountId(uuid.UUID(int=number)), end_user)


def job(number: int, /, **given: Any) -> Waiting:
    """The waiting job of this number, which is also its position."""
    usual: dict[str, Any] = {
        "job_id": JobId(uuid.UUID(int=number)),
        "requirement_id": 1,
        "lane": "",
        "shape": b"shape",
        "party": party(),
        "position": number,
    }
    return Waiting(**(usual | given))


def busy(*rests: float | None, whose: Party | None = None) -> tuple[Busy, ...]:
    """Jobs on a server that need so many seconds each."""
    return tuple(
        Busy(JobId(uuid.UUID(int=10_000 + number)), whose or party(99), rest) for number, rest in enumerate(rests)
    )


def station(name: str = "gpu-1", **given: Any) -> Station:
    return Station(ServerId(name), **given)


def scene(stations: list[Station], waiting: list[Waiting], **given: Any) -> Scene:
    """Every server has everything; a run takes ten seconds, loading five."""
    usual: dict[str, Any] = {
        "stations": {one.server_id: one for one in stations},
        "waiting": tuple(waiting),
        "shares": {one.party: Share() for one in waiting},
        "lacks": lambda _server, _requirement: NOTHING,
        "run_seconds": lambda _shape, _server: RUN,
        "load_seconds": lambda lane, _server: LOAD if lane else 0.0,
    }
    return Scene(**(usual | given))


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    servers: int
    jobs: int
    parties: int = 1
    lanes: int = 1
    sets: int = 1
    classes: int = 1


def random_scene(size: Size, seed: int) -> Scene:
    """All servers work on something; each requirement set is on most servers, on one at least."""
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    parties = [party(number, 5 + dice.randrange(size.classes)) for number in range(size.parties)]
    lanes = [f"lane-{number}" for number in range(size.lanes)]
    runs = [dice.uniform(1, 6) for _ in range(7)]
    names = [ServerId(f"gpu-{number}") for number in range(size.servers)]
    able = {
        (name, wanted): dice.random() < 0.8 or place == wanted % size.servers
        for place, name in enumerate(names)
        for wanted in range(size.sets)
    }
    waiting = [
        job(
            number,
            requirement_id=dice.randrange(size.sets),
            lane=dice.choice(lanes),
            shape=bytes([dice.randrange(len(runs))]),
            party=dice.choice(parties),
            age=(size.jobs - number) * 0.2,
        )
        for number in range(size.jobs)
    ]
    stations = [
        station(name, busy=busy(dice.uniform(0, 4)), warm=frozenset({dice.choice(lanes)})) for name in names
    ]
    return scene(
        stations,
        waiting,
        shares={one: Share(virtual_time=dice.uniform(0, 5)) for one in parties},
        lacks=lambda server, wanted: NOTHING if able[server, wanted] else LACKING,
        run_seconds=lambda shape, _server: runs[shape[0]],
    )


class Driven:
    """The policy asked whenever a server becomes free, as a dispatcher does; when each job begins."""

    def __init__(self, of: Scene) -> None:
        self._scene = of
        self._now = 0.0
        self._free_at = {name: one.rest or 0.0 for name, one in of.stations.items()}
        self._warm = {name: one.warm for name, one in of.stations.items()}
        self._stay = {name: one.stay for name, one in of.stations.items()}
        self._waiting = {one.job_id: one for one in of.waiting}
        self._shares = dict(of.shares)
        self._ends = [(when, name) for name, when in self._free_at.items()]
        heapq.heapify(self._ends)

    def begins(self) -> dict[JobId, float]:
        begun: dict[JobId, float] = {}
        while self._ends and self._waiting:
            self._now, _ = heapq.heappop(self._ends)
            if self._ends and self._ends[0][0] <= self._now:
                continue
            waiting = [dataclasses.replace(one, age=one.age + self._now) for one in self._waiting.values()]
            slots = [self._slot(name) for name in self._free_at]
            for placement in policy.assign(slots, waiting, self._shares, self._knowledge):
                begun[placement.job_id] = self._now
                self._begin(placement)
        return begun

    @property
    def _knowledge(self) -> policy.Knowledge:
        return self._scene

    def _slot(self, name: ServerId) -> Slot:
        rest = max(self._free_at[name] - self._now, 0.0)
        kind = SlotKind.BUSY if rest > 0 else SlotKind.IDLE
        return Slot(name, 1, kind, rest, self._warm[name], max(self._stay[name] - self._now, 0.0))

    def _begin(self, placement: Placement) -> None:
        begun, name = self._waiting.pop(placement.job_id), placement.slot.server_id
        share = self._shares[begun.party]
        time = share.virtual_time + placement.cost / share.weight
        self._shares[begun.party] = dataclasses.replace(share, virtual_time=time)
        seconds = self._scene.run_seconds(begun.shape, name) or 0.0
        if begun.lane not in self._warm[name]:
            seconds += self._swap(name, begun.lane)
        self._free_at[name] = self._now + seconds
        heapq.heappush(self._ends, (self._free_at[name], name))

    def _swap(self, name: ServerId, lane: str) -> float:
        load = self._scene.load_seconds(lane, name)
        if self._warm[name] & {one.lane for one in self._waiting.values()}:
            self._stay[name] = self._now + load + policy.stay_after_swap(load)
        self._warm[name] = frozenset({lane})
        return load
