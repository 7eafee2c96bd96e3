"""The fleet, what waits for it and what was measured, at one moment; values only. Durations in seconds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from atelier.fleet.model import Missing, Party, Share, Waiting
from atelier.kit.ids import AccountId, JobId, ServerId

Sharing = tuple[AccountId, str]
"""Whose jobs that run are counted together: an account, or an end user behind it, in all classes."""


def sharing(party: Party) -> Sharing:
    return (party.account_id, party.end_user)


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings that keep jobs waiting although servers are free; 0: no limit."""

    running: int = 0
    running_per_account: int = 0
    per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """A job on a server. `rest`: until its server is free of it, None where nobody can know."""

    job_id: JobId
    party: Party
    rest: float | None


@dataclass(frozen=True, slots=True)
class Station:
    """A registered server. `closed`: why it takes no jobs now ("is draining"), empty when it takes them.

    `busy`: what it works off, in that order. `stay`: for how long it stays with its warm lanes if jobs of them
    wait. `begun`: how long ago it was given jobs within the last minute, of which `per_minute` are allowed (0: any
    number). `share` below 1 makes it a canary.
    """

    server_id: ServerId
    closed: str = ""
    busy: tuple[Busy, ...] = ()
    warm: frozenset[str] = frozenset()
    stay: float = 0.0
    vram: int = 0
    share: float = 1.0
    begun: tuple[float, ...] = ()
    per_minute: int = 0

    @property
    def rest(self) -> float | None:
        """Until it is free; None where nobody can know."""
        return None if any(one.rest is None for one in self.busy) else sum(one.rest or 0.0 for one in self.busy)

    @property
    def next_start(self) -> float:
        """Until it may begin one more job under its cap per minute."""
        if not self.per_minute or len(self.begun) < self.per_minute:
            return 0.0
        return max(60.0 - sorted(self.begun)[self.per_minute - 1], 0.0)


@dataclass(frozen=True, slots=True)
class Retry:
    """A job that failed once waits a while: for how long, why (empty: not known), and where it was."""

    seconds: float
    cause: str
    server_id: ServerId | None


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a forecast looks at. `lacks`: what a server lacks of a requirement set, None while nobody knows.

    `waiting` in the order of submission; `shares` of all its parties, `may_begin` counting those that run.
    `retries`: jobs of `waiting` that may not begin yet.
    """

    stations: Mapping[ServerId, Station]
    waiting: tuple[Waiting, ...]
    shares: Mapping[Party, Share]
    lacks: Callable[[ServerId, int], Missing | None]
    run_seconds: Callable[[bytes, ServerId], float | None]
    load_seconds: Callable[[str, ServerId], float]
    dispatched: bool = True
    limits: Limits = Limits()
    retries: Mapping[JobId, Retry] = field(default_factory=dict[JobId, Retry])

    def able(self, requirement_id: int) -> list[Station]:
        """The servers that have what this requirement set asks for."""
        return [
            station
            for server_id, station in self.stations.items()
            if (gap := self.lacks(server_id, requirement_id)) is not None and not gap
        ]

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        gap = self.lacks(server_id, requirement_id)
        return gap is not None and not gap

    @property
    def running(self) -> int:
        """Jobs that are on servers now."""
        return sum(len(station.busy) for station in self.stations.values())

    def running_of(self, who: Sharing) -> int:
        return sum(sharing(one.party) == who for station in self.stations.values() for one in station.busy)
