"""What a dispatcher is told when it starts. Durations in seconds, sizes in bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from atelier.comfy.client import Timeouts


@dataclass(frozen=True, slots=True)
class DispatchSettings:
    """`heartbeat`, `expiry` and `hold` are those of the leases: renewed, taken over, given up by the holder.

    `wedged_after`, `stalled_after` and `stuck_after`: how long a prompt runs unheard, waits while nothing runs,
    and goes on after an interrupt before its server is quarantined; `blocked_after`: how long it waits behind one
    prompt of somebody else. `storage_patience`: how long a run's outputs stay on their server while the storage is
    away.
    """

    name: str = "dispatcher"
    heartbeat: float = 5.0
    expiry: float = 15.0
    hold: float = 10.0
    lost_after: float = 10.0
    poll_interval: float = 3.0
    silent_after: float = 5.0
    run_timeout: float | None = None
    run_timeouts: Mapping[str, float] = field(
        default_factory=lambda: {"image": 200.0, "video": 400.0, "other": 300.0}
    )
    probe_interval: float = 30.0
    probe_first: float = 5.0
    probe_most: float = 60.0
    probe_timeout: float = 30.0
    wedged_after: float = 10.0
    stalled_after: float = 5.0
    stuck_after: float = 30.0
    blocked_after: float = 600.0
    storage_patience: float = 60.0
    max_running: int = 0
    max_running_per_account: int = 0
    server_jobs_per_minute: int = 0
    collect_at_once: int = 4
    output_limit: int = 2 * 1024**3
    drain: float = 5.0
    timeouts: Timeouts = field(default_factory=Timeouts)
