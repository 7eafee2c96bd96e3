"""Every frame of a ComfyUI socket becomes one frozen value or passes through as Unknown; none raises."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from atelier.comfy.frames import parse_binary
from atelier.comfy.model import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    JsonObject,
    Message,
    NodeState,
    NodeText,
    Preview,
    Progress,
    ProgressState,
    Status,
    Unknown,
)

__all__ = [
    "Executed",
    "Executing",
    "ExecutionCached",
    "ExecutionError",
    "ExecutionInterrupted",
    "ExecutionStart",
    "ExecutionSuccess",
    "FeatureFlags",
    "JsonObject",
    "Message",
    "NodeState",
    "NodeText",
    "Preview",
    "Progress",
    "ProgressState",
    "Status",
    "Unknown",
    "parse_binary",
    "parse_text",
]


class _Odd(Exception):  # noqa: N818 - never leaves this module
    """A known type whose data has another shape than the contract's."""


def parse_text(text: str) -> Message | None:
    """The message in a text frame; None when it is not `{"type": str, …}` at all."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    envelope = cast("dict[str, Any]", document)
    kind = envelope.get("type")
    if not isinstance(kind, str):
        return None
    return _read(kind, envelope.get("data"), text)


def _read(kind: str, data: object, text: str) -> Message:
    reader = _READERS.get(kind)
    if reader is None or not isinstance(data, dict):
        return Unknown(kind, text)
    try:
        return reader(cast("JsonObject", data))
    except _Odd:
        return Unknown(kind, text)


def _status(data: JsonObject) -> Message:
    remaining = _object(_object(data, "status"), "exec_info").get("queue_remaining")
    if not isinstance(remaining, int):
        raise _Odd
    return Status(remaining, _optional(data, "sid"))


def _execution_start(data: JsonObject) -> Message:
    return ExecutionStart(_id(data), _timestamp(data))


def _execution_cached(data: JsonObject) -> Message:
    nodes = data.get("nodes")
    if not isinstance(nodes, list):
        raise _Odd
    return ExecutionCached(_id(data), tuple(str(node) for node in cast("list[object]", nodes)))


def _executing(data: JsonObject) -> Message:
    if "node" not in data:
        raise _Odd
    return Executing(_optional(data, "prompt_id"), _optional(data, "node"), _optional(data, "display_node"))


def _progress(data: JsonObject) -> Message:
    return Progress(
        _optional(data, "prompt_id"), _optional(data, "node"), _number(data, "value"), _number(data, "max")
    )


def _progress_state(data: JsonObject) -> Message:
    nodes = _object(data, "nodes")
    return ProgressState(_id(data), {name: _node_state(name, _object(nodes, name)) for name in nodes})


def _node_state(name: str, data: JsonObject) -> NodeState:
    state = data.get("state")
    if not isinstance(state, str):
        raise _Odd
    return NodeState(
        node_id=_optional(data, "node_id") or name,
        state=state,
        value=_number(data, "value"),
        max=_number(data, "max"),
        display_node_id=_optional(data, "display_node_id"),
        parent_node_id=_optional(data, "parent_node_id"),
        real_node_id=_optional(data, "real_node_id"),
    )


def _executed(data: JsonObject) -> Message:
    node = _optional(data, "node")
    output = data.get("output")
    if node is None or not (output is None or isinstance(output, dict)):
        raise _Odd
    return Executed(_id(data), node, cast("JsonObject | None", output), _optional(data, "display_node"))


def _execution_success(data: JsonObject) -> Message:
    return ExecutionSuccess(_id(data), _timestamp(data))


def _execution_error(data: JsonObject) -> Message:
    return ExecutionError(_id(data), data, blocked=data.get("exception_type") == "ExecutionBlocked")


def _execution_interrupted(data: JsonObject) -> Message:
    return ExecutionInterrupted(_id(data), _optional(data, "node_id"), data)


def _feature_flags(data: JsonObject) -> Message:
    return FeatureFlags(data)


_READERS: Mapping[str, Callable[[JsonObject], Message]] = {
    "status": _status,
    "feature_flags": _feature_flags,
    "execution_start": _execution_start,
    "execution_cached": _execution_cached,
    "executing": _executing,
    "progress": _progress,
    "progress_state": _progress_state,
    "executed": _executed,
    "execution_success": _execution_success,
    "execution_error": _execution_error,
    "execution_interrupted": _execution_interrupted,
}


def _id(data: JsonObject) -> str:
    value = data.get("prompt_id")
    if not isinstance(value, str):
        raise _Odd
    return value


def _optional(data: JsonObject, key: str) -> str | None:
    value = data.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise _Odd


def _number(data: JsonObject, key: str) -> float:
    value = data.get(key)
    if not isinstance(value, int | float):
        raise _Odd
    try:
        number = float(value)
    except OverflowError:
        raise _Odd from None
    if not math.isfinite(number):
        raise _Odd
    return number


def _timestamp(data: JsonObject) -> int | None:
    value = data.get("timestamp")
    return value if isinstance(value, int) else None


def _object(data: JsonObject, key: str) -> JsonObject:
    value = data.get(key)
    if not isinstance(value, dict):
        raise _Odd
    return cast("JsonObject", value)
