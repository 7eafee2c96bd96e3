"""What a job is: its states, its attempts, its events; values only."""

import datetime as dt
import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.jobs.prompt import Prompt, Told
from atelier.jobs.recipe import Finish, Recipe
from atelier.kit.ids import AccountId, AssetId, JobId, ServerId


class JobState(enum.StrEnum):
    """States as stored. `claimed` means a server holds the job but does not run it: everybody sees `queued`."""

    PREPARING = "preparing"
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL

    @property
    def shown(self) -> "JobState":
        """The state as anybody outside may know it."""
        return JobState.QUEUED if self in {JobState.PREPARING, JobState.CLAIMED} else self


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED})


class OutputKind(enum.StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    FILE = "file"
    LATENT = "latent"


class Outcome(enum.StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    LOST = "lost"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELED = "canceled"
    WITHDRAWN = "withdrawn"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`key` is the client's own (1-255 characters); `body_hash` is the blake3 of what it was sent with."""

    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class NewJob:
    """Everything that one submit writes, resolved and validated. Durations in seconds, price in milli-credits.

    `number`: its place among the jobs of its party, the lowest runs first; None: behind those that are there, or
    before them if `front`.
    """

    id: JobId
    account_id: AccountId
    dialect: str
    graph_digest: bytes
    graph_text: str
    requirement_id: int
    lane: str
    shape: bytes
    queue_ttl: float
    retention: float
    end_user: str = ""
    priority: int = 5
    native_prompt_id: uuid.UUID | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] | None = None
    idempotency: IdempotencyKey | None = None
    inputs: tuple[AssetId, ...] = ()
    price: int = 0
    wished_priority: int | None = None
    run_timeout: float | None = None
    retry_of: JobId | None = None
    number: float | None = None
    front: bool = False
    prompt: Prompt | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed. `code` is stable; `traceback` is one string, as the clients expect it."""

    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    traceback: str | None = None

    def as_json(self) -> dict[str, str | None]:
        return {
            "code": self.code,
            "message": self.message,
            "node_id": self.node_id,
            "class_type": self.class_type,
            "traceback": self.traceback,
        }


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a job made. Its id is an asset id; `hash` is blake3 as 64 hex digits; size in bytes."""

    id: AssetId
    node_id: str
    name: str
    kind: OutputKind
    content_type: str
    size: int
    hash: str
    temporary: bool = False
    subfolder: str = ""

    def as_json(self) -> dict[str, Any]:
        """As an `output` event has it."""
        return {
            "id": str(self.id),
            "node_id": self.node_id,
            "name": self.name,
            "kind": self.kind,
            "content_type": self.content_type,
            "size": self.size,
            "hash": self.hash,
            "temporary": self.temporary,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """A full snapshot. `value` is 0..1 and never goes back; `step` of `steps` belongs to the current node."""

    value: float
    nodes_done: int
    nodes_total: int
    current_node: str | None = None
    current_node_class: str | None = None
    step: int | None = None
    steps: int | None = None
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "nodes_done": self.nodes_done,
            "nodes_total": self.nodes_total,
            "current_node": self.current_node,
            "current_node_class": self.current_node_class,
            "step": self.step,
            "steps": self.steps,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Preview:
    """The newest preview picture; exists only while somebody watches. `seq` grows with each one."""

    seq: int
    node_id: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner reads it. `queue_position` is filled in by the service, 0 = next."""

    id: JobId
    account_id: AccountId
    state: JobState
    priority: int
    position: int
    metadata: Mapping[str, str]
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    keep_until: dt.datetime
    tries: int
    event_seq: int
    error: JobError | None
    outputs: tuple[Output, ...]
    progress: Progress | None
    wished_priority: int | None = None
    end_user: str = ""
    retry_of: JobId | None = None
    workflow: str = ""
    batch_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the event log. `seq` starts at 1 and has no holes; the terminal one is the last.

    Kinds: `status` (data `{"state": …, "reason"?: …}`), `output` (data: the output as JSON, see `Output`),
    `retry` (data `{"attempt": n, "reason": …, "delay": seconds}`).
    """

    seq: int
    kind: str
    terminal: bool
    data: Mapping[str, Any]
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `next_cursor` is None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """A job that may be next, as the scheduling policy sees it. `age`: seconds since it was accepted.

    `avoid`: servers that failed it. `vram_over`: bytes of VRAM that were too few. `number`: its place among the
    jobs of its party, the lowest first; None: its position.
    """

    job_id: JobId
    attempt: int
    requirement_id: int
    lane: str
    priority: int
    position: int
    account_id: AccountId
    shape: bytes
    end_user: str = ""
    age: float = 0.0
    avoid: tuple[ServerId, ...] = ()
    vram_over: int = 0
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """One claim that a dispatcher asks for: this job, as attempt `number`, on this server under this fence.

    `cost` is what its party's virtual time advances by, from `base` at least (seconds by its weight).
    """

    job_id: JobId
    number: int
    prompt_id: uuid.UUID
    server_id: ServerId
    fence: int
    cost: float = 0.0
    base: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs may be on servers at once; 0: any number.

    `per_account` is for each account, and each end user behind one, whose account does not say otherwise.
    """

    in_all: int = 0
    per_account: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that is now ours to run. `graph_text` is the graph as it was submitted (JSON).

    `ran`: seconds since the server began it, by the database's clock, for one that ran before it was ours.
    """

    job_id: JobId
    account_id: AccountId
    number: int
    prompt_id: uuid.UUID
    server_id: ServerId
    fence: int
    graph_text: str
    shape: bytes
    lane: str
    priority: int
    secrets: Mapping[str, str] | None
    requirement_id: int
    canceling: bool = False
    attempt_state: str = "claimed"
    end_user: str = ""
    run_timeout: float | None = None
    ran: float = 0.0
    told: Told | None = None
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One output as the dispatcher stored it, before the job's end makes it visible.

    `name` as the server's node named it; `subfolder` as the graph asked for it, without what Atelier put before.
    `note`: why it is not in the format that was asked for.
    """

    id: AssetId
    node_id: str
    name: str
    kind: OutputKind
    content_type: str
    size: int
    hash: bytes
    temporary: bool = False
    subfolder: str = ""
    note: str = ""


class Cause(enum.StrEnum):
    """Why an attempt failed for a reason that is not the graph's: these are tried again."""

    SERVER_LOST = "server_lost"
    PROMPT_GONE = "prompt_gone"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_GONE = "output_gone"
    DISPATCHER_LOST = "dispatcher_lost"
    STORAGE = "storage"
    QUEUE_WEDGED = "queue_wedged"
    CUDA_FAULT = "cuda_fault"
    DISK_FULL = "disk_full"
    UPLOAD_FAILED = "upload_failed"
    INPUT_GONE = "input_gone"


@dataclass(frozen=True, slots=True)
class Failed:
    """What the next claim should know: the server that failed it, and the VRAM (bytes) that was too little."""

    server_id: ServerId | None = None
    vram: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """What a job has been through. `tries` counts ended attempts that failed for infrastructure reasons."""

    tries: int
    server_deaths: int
    dispatcher_losses: int


@dataclass(frozen=True, slots=True)
class TryAgain:
    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    error: JobError
