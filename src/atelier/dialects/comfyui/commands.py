"""What POST /queue, /history, /interrupt and /free are told, read once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from atelier.kit.http.bodies import MalformedBody, is_object, parse_json
from atelier.kit.ids import parse_uuid

COMMAND_BYTES = 1_000_000


def parse_command(raw: bytes) -> Mapping[str, Any]:
    """A body of POST /queue, /history or /free, which must be an object. Raises MalformedBody, BodyTooLarge."""
    body = parse_json(raw)
    if not is_object(body):
        raise MalformedBody("The body must be a JSON object.")
    return body


def parse_lenient(raw: bytes) -> Mapping[str, Any]:
    """As POST /interrupt is read: what is no JSON counts as nothing. Raises MalformedBody for other JSON."""
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return parse_command(raw)


def ids_to_delete(body: Mapping[str, Any]) -> Sequence[str]:
    """The prompt ids under `delete`; what cannot be one names nothing. Raises MalformedBody."""
    listed = body.get("delete", [])
    if not isinstance(listed, list):
        raise MalformedBody("delete must be a list of prompt ids.")
    return [
        prompt_id for prompt_id in dict.fromkeys(map(str, cast("list[object]", listed))) if parse_uuid(prompt_id)
    ]
