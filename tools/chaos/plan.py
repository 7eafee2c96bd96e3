"""What one run is. Everything random in it follows from the seed; how far it gets depends on the machine."""

from collections.abc import Mapping
from dataclasses import dataclass

TAKE_OVER_SECONDS = 20.0
"""The promise: a dead dispatcher's servers have a new one within this time, with the leases of production."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Durations in seconds. `gap`: mean time between two deeds; `steps`: the least and most of a job's sampler.

    `rage`: the part of `minutes` in which deeds are done; what is left is for the jobs to end in peace.
    `heartbeat`, `hold` and `expiry` are those of the leases; `take_over` is what is promised with them (None:
    nothing); `only` names the deeds to choose from (none: all).
    """

    seed: int
    jobs: int = 1_000
    minutes: float = 15.0
    rage: float = 0.75
    servers: int = 4
    clients: int = 48
    gap: float = 2.5
    heartbeat: float = 5.0
    hold: float = 10.0
    expiry: float = 15.0
    take_over: float | None = TAKE_OVER_SECONDS
    lost_after: float = 10.0
    run_timeout: float = 30.0
    probe_interval: float = 30.0
    step_seconds: float = 0.05
    load_seconds: float = 0.3
    steps: tuple[int, int] = (4, 24)
    only: tuple[str, ...] = ()

    @property
    def settings(self) -> Mapping[str, str]:
        """What every process is started with (names without ATELIER_)."""
        told = {
            "lease_heartbeat": self.heartbeat,
            "lease_hold": self.hold,
            "lease_expiry": self.expiry,
            "lost_server_after": self.lost_after,
            "run_timeout": self.run_timeout,
            "probe_interval": self.probe_interval,
            "read_timeout": self.lost_after,
            "connect_timeout": self.lost_after / 2,
            "drain": min(self.lost_after / 2, 5.0),
        }
        return {name: f"{value:g}" for name, value in told.items()} | {"log_level": "info"}


def small(seed: int, jobs: int = 60, only: tuple[str, ...] = ()) -> Plan:
    """Short leases and few clients, so that much happens to few jobs within a minute."""
    return Plan(
        seed=seed,
        jobs=jobs,
        minutes=2.0,
        rage=0.3,
        clients=8,
        gap=0.8,
        heartbeat=0.5,
        hold=1.2,
        expiry=2.0,
        take_over=None,
        lost_after=2.0,
        run_timeout=8.0,
        probe_interval=2.0,
        load_seconds=0.05,
        steps=(10, 40),
        only=only,
    )
