"""What strangers write as JSON, made fit for PostgreSQL: it takes no endless numbers, NUL, half surrogates."""

import json
import math
import re
from typing import Any, cast

UNFIT = re.compile(r"NaN|Infinity|\\u0000|\\ud[89a-f]")
"""What shows such a thing in a text that json.dumps wrote; now and then something harmless."""

ENDLESS = 1e18
"""Stands for an infinite number: larger than any value that an input is given."""


def json_text(value: Any) -> str:
    """The value as JSON that a jsonb column takes."""
    text = json.dumps(value, separators=(",", ":"))
    return json.dumps(storable(value), separators=(",", ":")) if UNFIT.search(text) else text


def storable(value: Any) -> Any:
    """The same value without what jsonb refuses."""
    match value:
        case float() if not math.isfinite(value):
            return None if math.isnan(value) else math.copysign(ENDLESS, value)
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case dict():
            members = cast("dict[str, Any]", value).items()
            return {storable(key): storable(member) for key, member in members}
        case list() | tuple():
            return [storable(member) for member in cast("list[Any]", value)]
        case _:
            return value
