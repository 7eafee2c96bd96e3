"""A document is small enough, and plain JSON, before anything else looks at it."""

import math
import re
from dataclasses import dataclass
from typing import cast

from atelier.comfy.refusals import InvalidWorkflow, too_big, top_error

LARGEST_INT = 2**64 - 1
SMALLEST_INT = -(2**63)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """`text` in characters, `depth` in levels of JSON, `values` over the whole document.

    `chain` counts nodes behind one another, `work` the values in all cache keys: see effort. A server of 0.3.64
    dies of 980 nodes in a chain and of 800 nested lists, and needs about 12 s for a million values.
    """

    nodes: int = 10_000
    chain: int = 500
    work: int = 2_000_000
    text: int = 1_000_000
    depth: int = 64
    values: int = 300_000


DEFAULT_LIMITS = Limits()


def check_bounds(document: object, limits: Limits) -> None:
    """Raises InvalidWorkflow for what is too deep, too long, too much or not JSON. Walks level by level."""
    level: list[object] = [document]
    depth = seen = 0
    while level:
        seen += len(level)
        if depth > limits.depth or seen > limits.values:
            raise too_big(f"more than {limits.depth} levels deep or {limits.values} values")
        level = _next_level(level, limits)
        depth += 1


def _next_level(level: list[object], limits: Limits) -> list[object]:
    """What stands in the values of one level, which are checked on the way; keys count as values."""
    below: list[object] = []
    for value in level:
        if isinstance(value, str):
            _check_text(value, limits)
        elif isinstance(value, dict):
            table = cast("dict[object, object]", value)
            below += table.keys()
            below += table.values()
        elif isinstance(value, list):
            below += cast("list[object]", value)
        elif value is not None:
            _check_number(value)
    return below


def _check_number(value: object) -> None:
    if isinstance(value, int):
        if not SMALLEST_INT <= value <= LARGEST_INT:
            raise _not_json("a whole number that no 64 bits hold")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json("a number that is not finite (NaN or Infinity)")
    else:
        raise _not_json(f"a value of type {type(value).__name__}")


def _check_text(text: str, limits: Limits) -> None:
    if len(text) > limits.text:
        raise too_big(f"a text of {len(text)} characters; {limits.text} are allowed")
    if "\0" in text or not (text.isascii() or _SURROGATE.search(text) is None):
        raise _not_json("a text with a NUL or half a surrogate pair")


def _not_json(details: str) -> InvalidWorkflow:
    return InvalidWorkflow(top_error("invalid_prompt", "The workflow holds what no JSON document can:", details))
