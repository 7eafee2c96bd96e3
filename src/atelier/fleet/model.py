"""What the fleet is made of: servers, leases, inventories and requirement sets; values only."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.kit.ids import AccountId, JobId, ServerId


class Health(enum.StrEnum):
    """`BUSY` and `DRAINING` are how a ready server is shown; they are not stored (see `Server.shown`)."""

    UNKNOWN = "unknown"
    READY = "ready"
    BUSY = "busy"
    DEGRADED = "degraded"
    QUARANTINED = "quarantined"
    DRAINING = "draining"
    OFFLINE = "offline"


class Origin(enum.StrEnum):
    """Who named the server: a setting (it follows the setting), a person at run time, or the demo."""

    SETTING = "setting"
    ADDED = "added"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Server:
    """One ComfyUI server. `headers` (secret) go with every request to it."""

    id: ServerId
    url: str
    headers: Mapping[str, str] = field(repr=False)
    enabled: bool
    origin: Origin
    health: Health
    health_reason: str
    health_at: dt.datetime | None
    inventory_digest: bytes | None
    system: Mapping[str, Any] = field(repr=False)
    drain: bool = False
    share: float = 1.0
    max_per_minute: int | None = None
    run_timeout: float | None = None
    only_dispatcher: str = ""
    quarantined_at: dt.datetime | None = None
    quarantine_reason: str = ""
    probe_asked_at: dt.datetime | None = None
    warm: tuple[str, ...] = ()
    stay_until: dt.datetime | None = None

    @property
    def takes_jobs(self) -> bool:
        """Whether it may be given jobs, as far as its operator is concerned."""
        return self.enabled and not self.drain

    def shown(self, running: int) -> Health:
        """The one state that everybody is told, when `running` of its attempts live."""
        if self.health in {Health.OFFLINE, Health.QUARANTINED, Health.UNKNOWN}:
            return self.health
        if self.drain:
            return Health.DRAINING
        if self.health is Health.READY and running:
            return Health.BUSY
        return self.health


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive one server. Every write about its attempts names the fence."""

    server: Server
    fence: int


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model file as a graph names it: the loader's class, its input and the chosen value."""

    class_type: str
    input_name: str
    value: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a server must have to run a graph."""

    classes: frozenset[str]
    models: frozenset[ModelRef]

    def as_json(self) -> dict[str, Any]:
        return {
            "classes": sorted(self.classes),
            "models": sorted([ref.class_type, ref.input_name, ref.value] for ref in self.models),
        }

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Requirement":
        return Requirement(frozenset(body["classes"]), frozenset(ModelRef(*ref) for ref in body["models"]))


@dataclass(frozen=True, slots=True)
class Missing:
    """What one server lacks of a requirement set; empty when it lacks nothing."""

    classes: frozenset[str]
    models: frozenset[ModelRef]

    def __bool__(self) -> bool:
        return bool(self.classes or self.models)


class SlotKind(enum.Enum):
    """`BUSY` is no place for a job: it says how soon a warm server will be one."""

    IDLE = "idle"
    AHEAD = "ahead"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one job: on an idle server, behind a prompt that ends soon, or later on a busy one.

    `rest`: seconds until the job would begin. `warm`: the lanes whose models are loaded there. `stay`: seconds for
    which the server should stay with its warm lanes if jobs of them wait. `vram` in bytes, 0: not known.
    """

    server_id: ServerId
    fence: int
    kind: SlotKind
    rest: float = 0.0
    warm: frozenset[str] = frozenset()
    stay: float = 0.0
    vram: int = 0


@dataclass(frozen=True, slots=True)
class Party:
    """Who shares the fleet with others: an account, or an end user behind it, in one priority class."""

    priority: int
    account_id: AccountId
    end_user: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What a party was given so far, in seconds divided by its weight.

    `may_begin`: how many of its jobs may begin now beside those that run (None: any number).
    """

    virtual_time: float = 0.0
    weight: float = 1.0
    may_begin: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting job as the policy sees it. `age`: seconds that it has waited.

    `avoid`: servers that failed it, taken only where there is no other. `vram_over`: bytes that were too few.
    `number`: its place among the jobs of its party, the lowest first; None: its position.
    """

    job_id: JobId
    requirement_id: int
    lane: str
    shape: bytes
    party: Party
    position: int
    age: float = 0.0
    avoid: frozenset[ServerId] = frozenset()
    vram_over: int = 0
    number: float | None = None


def turn_in_party(job: Waiting) -> tuple[float, int]:
    """The order in which the jobs of one party begin. It says nothing about jobs of different parties."""
    return (job.position if job.number is None else job.number, job.position)


@dataclass(frozen=True, slots=True)
class Placement:
    """The policy's word: this job goes to this slot, and why. `cost`: seconds that its party is charged for it."""

    job_id: JobId
    slot: Slot
    reason: str
    cost: float = 0.0
