"""A body is read within its limit, and JSON is parsed once, strictly: what could not be stored does not get in."""

import json
import math
import re
from collections.abc import AsyncIterator
from typing import Any, ClassVar, TypeGuard, cast

from starlette.requests import Request

from atelier.kit.errors import Kind, Refusal

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as json.dumps spells it, and not as text that looks like it
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

MOST_VALUES = 600_000
"""In one body. Nothing else runs while JSON is parsed: ten megabytes of `[]` would take a second and 300 MB."""


class MalformedBody(Refusal):
    """The body is not what the operation reads."""

    code: ClassVar[str] = "invalid_request"


class BodyTooLarge(Refusal):
    """The body is over the operation's limit; none of it was kept."""

    kind: ClassVar[Kind] = Kind.TOO_LARGE
    code: ClassVar[str] = "payload_too_large"


def as_strings(value: object) -> list[str] | None:
    """Parsed JSON as a list of strings; None when it is something else."""
    if not isinstance(value, list):
        return None
    items = cast("list[object]", value)
    strings = [item for item in items if isinstance(item, str)]
    return strings if len(strings) == len(items) else None


async def limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body in pieces, at most `limit` bytes of it. Raises BodyTooLarge as soon as that is known."""
    _check_declared(request, limit)
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise _too_large(limit)
        if chunk:
            yield chunk


async def read(request: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes. Raises BodyTooLarge."""
    return b"".join([chunk async for chunk in limited(request, limit)])


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """The body as a JSON object. Raises BodyTooLarge and MalformedBody."""
    return parse_object(await read(request, limit))


def parse_object(body: bytes) -> dict[str, Any]:
    """As parse_json, for what must be an object."""
    value = parse_json(body)
    if not is_object(value):
        raise MalformedBody("The body must be a JSON object.")
    return value


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether parsed JSON is an object; its keys are strings then."""
    return isinstance(value, dict)


def parse_json(body: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no NaN, no infinity; and no text that PostgreSQL could not keep.

    Raises MalformedBody with what is wrong and where, BodyTooLarge for more than MOST_VALUES values.
    """
    _check_values(body)
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        if "\\u" in text:
            _check_text(value)
    except RecursionError as error:
        raise MalformedBody("The body is nested too deeply.") from error
    except ValueError as error:
        raise MalformedBody(f"The body is not valid JSON: {error}.") from error
    return value


def _check_values(body: bytes) -> None:
    """Counted before anything is parsed; commas of texts only where it matters."""
    if _values(body) > MOST_VALUES and _values(_TEXT.sub(b"", body)) > MOST_VALUES:
        raise BodyTooLarge(f"The body has more than {MOST_VALUES} values.", details={"limit_values": MOST_VALUES})


def _values(body: bytes) -> int:
    """At least as many as there are, without the keys: each but the first follows one of these."""
    return sum(body.count(sign) for sign in (b",", b"[", b"{")) + 1


def _check_declared(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit} bytes.", details={"limit_bytes": limit})


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _check_text(value: object) -> None:
    spelled = json.dumps(value, ensure_ascii=False)
    spelled.encode("utf-8")  # an unpaired surrogate is a ValueError
    if _NUL.search(spelled):
        raise ValueError("text must not contain the character U+0000")
