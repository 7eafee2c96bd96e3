"""What a ComfyUI server says over its socket, as frozen values (wire contract 7.5 and 8)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """The queue changed: `queue_remaining` counts pending and running. `sid` is only in the first message."""

    queue_remaining: int
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureFlags:
    flags: JsonObject


@dataclass(frozen=True, slots=True)
class ExecutionStart:
    """`timestamp` in milliseconds of the server's clock, None when the server gives none."""

    prompt_id: str
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionCached:
    prompt_id: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Executing:
    """`node` None ends the prompt, whatever its verdict.

    `prompt_id` is None on the message that follows a reconnect in mid-run (wire contract 7.1).
    """

    prompt_id: str | None
    node: str | None
    display_node: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Steps of one node; custom nodes sometimes name neither prompt nor node."""

    prompt_id: str | None
    node: str | None
    value: float
    max: float


@dataclass(frozen=True, slots=True)
class NodeState:
    """`state` is "pending", "running", "finished" or "error"."""

    node_id: str
    state: str
    value: float
    max: float
    display_node_id: str | None = None
    parent_node_id: str | None = None
    real_node_id: str | None = None


@dataclass(frozen=True, slots=True)
class ProgressState:
    prompt_id: str
    nodes: Mapping[str, NodeState]


@dataclass(frozen=True, slots=True)
class Executed:
    """A node's UI output, exactly as history will show it; None for cached nodes of older servers."""

    prompt_id: str
    node: str
    output: JsonObject | None
    display_node: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionSuccess:
    """Sent before history is readable: only `Executing(node=None)` promises that."""

    prompt_id: str
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """`blocked` marks the report of an ExecutionBlocker: the run goes on and may well succeed."""

    prompt_id: str
    data: JsonObject
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted:
    prompt_id: str
    node_id: str | None
    data: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of binary layout 1 (no ids) or 4: a preview, or a result of SaveImageWebsocket."""

    prompt_id: str | None
    node_id: str | None
    content_type: str
    image: bytes


@dataclass(frozen=True, slots=True)
class NodeText:
    """A line of progress text, binary layout 3."""

    prompt_id: str | None
    node_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """What we do not understand, byte for byte: custom nodes speak to their own clients this way."""

    type: str
    raw: str | bytes


Message = (
    Status
    | FeatureFlags
    | ExecutionStart
    | ExecutionCached
    | Executing
    | Progress
    | ProgressState
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | Preview
    | NodeText
    | Unknown
)
