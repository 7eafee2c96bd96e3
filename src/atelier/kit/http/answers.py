"""Answers are serialised once, here, and leave as they are."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def compact(value: object) -> str:
    """JSON without a blank too many. NaN and infinity are bugs and raise ValueError."""
    return _encode(value)


def json_response(
    value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`value` as application/json."""
    return Response(_encode(value), status, headers, "application/json")


def written_response(text: str) -> Response:
    """`text`, which is JSON already, as application/json."""
    return Response(text, media_type="application/json")
