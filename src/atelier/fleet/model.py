"""What the fleet is made of: servers, leases, inventories and requirement sets; values only."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.kit.ids import JobId, ServerId


class Health(enum.StrEnum):
    UNKNOWN = "unknown"
    READY = "ready"
    DEGRADED = "degraded"
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
    IDLE = "idle"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one job now: on an idle server, or behind a prompt that ends soon (`rest` seconds)."""

    server_id: ServerId
    fence: int
    kind: SlotKind
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting job as the policy sees it."""

    job_id: JobId
    requirement_id: int
    lane: str
    priority: int
    position: int


@dataclass(frozen=True, slots=True)
class Placement:
    """The policy's word: this job goes to this slot, and why."""

    job_id: JobId
    slot: Slot
    reason: str
