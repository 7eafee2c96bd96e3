"""The body of POST /prompt, taken apart so that nothing in it can harm the server that it will reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from atelier.comfy.bounds import DEFAULT_LIMITS, Limits, check_bounds
from atelier.comfy.graph import Graph, parse
from atelier.comfy.refusals import InvalidWorkflow, top_error
from atelier.kit.ids import parse_uuid


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What a native client asks for (wire contract 3). None where the client left a field out."""

    graph: Graph
    prompt_id: str | None
    client_id: str | None
    number: float | None
    front: bool
    extra_data: Mapping[str, Any]
    partial_execution_targets: tuple[str, ...] | None


def parse_request(body: object, limits: Limits = DEFAULT_LIMITS) -> PromptRequest:
    """The request in a parsed JSON body. Raises InvalidWorkflow or WorkflowFormatUi, nothing else."""
    table = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    if table.get("prompt") is None:
        raise InvalidWorkflow(top_error("no_prompt", "No prompt provided", "No prompt provided"))
    return PromptRequest(
        graph=parse(table["prompt"], limits),
        prompt_id=_prompt_id(table.get("prompt_id")),
        client_id=_client_id(table.get("client_id")),
        number=_number(table.get("number"), limits),
        front=table.get("front") is True,
        extra_data=parse_extra_data(table.get("extra_data", {}), limits),
        partial_execution_targets=_targets(table.get("partial_execution_targets"), limits),
    )


def parse_extra_data(value: object, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """An object as deep and long as a graph may be: `null` ends the thread that runs prompts (behaviour 2)."""
    if not isinstance(value, dict):
        raise _wrong("extra_data", "must be an object")
    check_bounds(cast("object", value), limits)
    return cast("dict[str, Any]", value)


def _prompt_id(value: object) -> str | None:
    """Servers of 2026 demand a canonical lower-case UUID, older ones would store "None" for null."""
    if value is None:
        return None
    if not isinstance(value, str) or parse_uuid(value) is None:
        raise InvalidWorkflow(top_error("invalid_prompt_id", "prompt_id must be a canonical lower-case UUID"))
    return value


def _client_id(value: object) -> str | None:
    """A list or an object here ends the whole process (behaviour 1)."""
    if value is None or (isinstance(value, str) and len(value) <= 200):
        return value
    raise _wrong("client_id", "must be a text of at most 200 characters")


def _number(value: object, limits: Limits) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("number", "must be a number")
    check_bounds(value, limits)
    return value


def _targets(value: object, limits: Limits) -> tuple[str, ...] | None:
    if value is None:
        return None
    rows = cast("list[object]", value) if isinstance(value, list) else [None]
    targets = tuple(row for row in rows if isinstance(row, str))
    if len(targets) != len(rows):
        raise _wrong("partial_execution_targets", "must be a list of node ids")
    check_bounds(cast("object", value), limits)
    return targets


def _wrong(field: str, why: str) -> InvalidWorkflow:
    return InvalidWorkflow(top_error("invalid_prompt", f"{field} {why}.", "", field=field))
