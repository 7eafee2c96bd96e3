"""A simulated server as far as scheduling goes: what it runs, what waits behind, and what loading costs it."""

from dataclasses import dataclass, field

from atelier.fleet.warmth import UNKNOWN, USABLE, Warmth
from atelier.kit.ids import ServerId
from tools.bench.scheduling.trace import Job


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of loading a lane for the first time and again, and how many lanes fit into a server's memory."""

    swap: float = 5.0
    again: float = 5.0
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """A job, or the loading of a lane alone, on a server. `load` of its seconds are loading."""

    job: Job | None
    lane: str
    begin: float
    load: float
    end: float


@dataclass(eq=False)
class Machine:
    number: int
    costs: Costs
    running: Run | None = None
    ahead: Job | None = None
    stay_until: float = 0.0
    freed_at: float = 0.0
    swaps: int = 0
    _seen: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.id = ServerId(f"gpu-{self.number:02d}")
        self.warmth = Warmth(int((self.costs.lanes + 0.5) * UNKNOWN / USABLE))

    def load_seconds(self, lane: str) -> float:
        """What loading this lane would take now."""
        if self.warmth.has(lane):
            return 0.0
        return self.costs.again if lane in self._seen else self.costs.swap

    def begin(self, now: float, lane: str, job: Job | None) -> Run:
        load = self.load_seconds(lane)
        self.swaps += load > 0
        self._seen.add(lane)
        self.warmth.ran(lane)
        self.running = Run(job, lane, now, load, now + load + (job.run if job else 0.0))
        return self.running

    def jobs(self) -> tuple[Job | None, Job | None]:
        """What runs, and what waits behind it."""
        return (self.running.job if self.running else None, self.ahead)

    def finish(self, now: float) -> None:
        self.running, self.freed_at = None, now
