"""People write `24h` and `100MB`; everything behind the settings counts seconds and bytes."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")


def seconds(value: object) -> object:
    """`90`, `90s`, `1.5m`, `24h`, `30d`, `500ms` as seconds; what is not text stays as it is."""
    if not isinstance(value, str):
        return value
    number, unit = _split(value)
    if unit.lower() not in {*_SECONDS, ""}:
        raise ValueError("write a duration like 90, 500ms, 30s, 5m, 24h or 30d")
    return number * _SECONDS.get(unit.lower(), 1.0)


def size(value: object) -> object:
    """`1000`, `100MB`, `2GiB` as bytes; what is not text stays as it is."""
    if not isinstance(value, str):
        return value
    number, unit = _split(value)
    if unit.upper() not in {*_BYTES, ""}:
        raise ValueError("write a size like 1048576, 100MB or 2GiB")
    return int(number * _BYTES.get(unit.upper(), 1))


def _split(text: str) -> tuple[float, str]:
    """What is no quantity has itself as its unit, which nobody knows."""
    found = _QUANTITY.fullmatch(text.strip())
    return (float(found["number"]), found["unit"]) if found else (0.0, text)


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=3660 * 86_400)]
"""A duration in seconds, more than none and at most ten years."""

Size = Annotated[int, BeforeValidator(size), Field(gt=0)]
"""A size in bytes."""
