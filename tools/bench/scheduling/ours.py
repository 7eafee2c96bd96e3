"""The product's own policy, fed as the dispatcher feeds it: what is free and what waits go in, placements come out."""

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from atelier.fleet import fairness, policy, prefetch
from atelier.fleet.fairness import Standing
from atelier.fleet.model import Party, Placement, Share, Slot, SlotKind, Waiting
from atelier.kit.ids import AccountId, JobId, ServerId
from tools.bench.scheduling.engine import Move
from tools.bench.scheduling.machines import Machine
from tools.bench.scheduling.trace import RUN_SECONDS, Job

PARTIES = 64
EACH = 16
"""How much of what waits one question brings, as the dispatcher asks it: parties, and jobs of each."""

_IDLE = Slot(ServerId(""), 0, SlotKind.IDLE)


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


@dataclass
class Atelier:
    """Keeps what the database keeps: the waiting jobs in their lines, and what each party was given."""

    machines: Sequence[Machine]
    run: float = RUN_SECONDS
    _lines: dict[Party, deque[Job]] = field(default_factory=lambda: defaultdict[Party, deque[Job]](deque))
    _given: dict[Party, float] = field(default_factory=dict[Party, float])
    _clock: dict[int, float] = field(default_factory=dict[int, float])
    _least: dict[Party, float] | None = None

    def __post_init__(self) -> None:
        self._by_id = {machine.id: machine for machine in self.machines}
        self._fleet = _Fleet(self._by_id, self.run)

    def arrived(self, job: Job) -> None:
        self._lines[party_of(job)].append(job)

    def waits(self) -> bool:
        return any(self._lines.values())
