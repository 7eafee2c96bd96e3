"""The body of POST /prompt is parsed once, and nothing of it that harms a ComfyUI server gets further.

Real servers die of a `client_id` that is a list and of an `extra_data` that is null (behaviour 1-3).
"""

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from atelier.comfy.bounds import Limits, check_bounds
from atelier.comfy.refusals import InvalidWorkflow, top_error
from atelier.intake.native import NativeOrder
from atelier.kit.http.bodies import as_strings, is_object, parse_json
from atelier.kit.ids import parse_uuid

SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")
"""What partner nodes need, and nobody else may see (execution.SENSITIVE_EXTRA_DATA_KEYS)."""

MOST_CLIENT_ID = 1_000
MOST_SECRET = 16_384
MOST_SOURCE = 500

_EXTRA_LIMITS = Limits(text=20_000_000, depth=128)
"""A workflow stands in it, whose notes may hold pictures as text."""

_OWN = frozenset({*SECRETS, "client_id", "create_time"})
"""What has a place of its own: `client_id` stands in the order, when it came in the job."""


def parse_prompt(raw: bytes, usage_source: str | None = None) -> NativeOrder:
    """What POST /prompt asks for; `usage_source` is the header Comfy-Usage-Source.

    Raises MalformedBody, BodyTooLarge and, in ComfyUI's words, InvalidWorkflow.
    """
    body = parse_json(raw)
    if not is_object(body) or "prompt" not in body:
        raise _refused("no_prompt", "No prompt provided", _instead(body))
    extra_data = _extra_data(body.get("extra_data"))
    return NativeOrder(
        graph=body["prompt"],
        prompt_id=_prompt_id(body.get("prompt_id")),
        number=_number(body.get("number")),
        front=bool(body.get("front")),
        client_id=_client_id(body.get("client_id", extra_data.get("client_id"))),
        extra_data=_kept(extra_data, usage_source),
        targets=_targets(body.get("partial_execution_targets")),
        secrets=_secrets(extra_data),
        size=len(raw),
    )


def _instead(body: object) -> str:
    """A graph that was sent without its envelope is the mistake that everybody makes once."""
    nodes = body.values() if is_object(body) else ()
    if any(is_object(node) and "class_type" in node for node in nodes):
        return 'The graph stands under "prompt": {"prompt": {"1": {"class_type": ...}}}'
    if is_object(body) and isinstance(body.get("nodes"), list):
        return "This is a workflow in the editor's format: export it with 'Export (API)' and send {'prompt': it}"
    return "No prompt provided"


def _prompt_id(given: object) -> uuid.UUID | None:
    """None: the server mints one."""
    if given is None:
        return None
    known = parse_uuid(given) if isinstance(given, str) else None
    if known is None:
        raise _refused(
            "invalid_prompt_id",
            "prompt_id must be a valid UUID",
            "Write it in lower case with hyphens, or leave it out to be given one.",
        )
    return known


def _client_id(given: object) -> str | None:
    if given is None or (isinstance(given, str) and len(given) <= MOST_CLIENT_ID):
        return given
    raise _refused("invalid_client_id", f"client_id must be a string of {MOST_CLIENT_ID} characters at most")


def _number(given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not _is_finite(given):
        raise _refused("invalid_number", "number must be a finite number")
    return float(given)


def _is_finite(given: float) -> bool:
    """Whole numbers have no largest one in JSON."""
    try:
        return math.isfinite(given)
    except OverflowError:
        return False


def _targets(given: object) -> Sequence[str] | None:
    if given is None:
        return None
    targets = as_strings(given)
    if targets is None:
        raise _refused("invalid_partial_execution_targets", "partial_execution_targets must be a list of node ids")
    return targets


def _extra_data(given: object) -> dict[str, Any]:
    """An object; null is an empty one, as its clients mean it."""
    if given is None:
        return {}
    if not is_object(given):
        raise _refused("invalid_extra_data", "extra_data must be an object")
    try:
        check_bounds(given, _EXTRA_LIMITS)
    except InvalidWorkflow as error:
        raise _refused("invalid_extra_data", "extra_data cannot be kept", error.message) from None
    return given


def _kept(extra_data: Mapping[str, Any], usage_source: str | None) -> dict[str, Any]:
    """What everybody may see of it, and where the request says that it comes from."""
    kept = {name: value for name, value in extra_data.items() if name not in _OWN}
    if usage_source and "comfy_usage_source" not in kept:
        kept["comfy_usage_source"] = usage_source[:MOST_SOURCE]
    return kept


def _secrets(extra_data: Mapping[str, Any]) -> Mapping[str, str] | None:
    given = {name: extra_data[name] for name in SECRETS if extra_data.get(name)}
    for name, value in given.items():
        if not isinstance(value, str) or len(value) > MOST_SECRET:
            words = f"extra_data.{name} must be a string of {MOST_SECRET} characters at most"
            raise _refused("invalid_extra_data", words)
    return given or None


def _refused(kind: str, message: str, details: str = "") -> InvalidWorkflow:
    return InvalidWorkflow(top_error(kind, message, details))
