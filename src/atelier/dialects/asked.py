"""What our own API is asked: bodies are parsed once into their models, and a page is said in one way."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from atelier.kit import clock
from atelier.kit.errors import Refusal
from atelier.kit.http import bodies

BODY_BYTES = 1_000_000
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

LIMIT: dict[str, Any] = {
    "name": "limit",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
}


class InvalidQuery(Refusal):
    """A parameter of the address is not what the operation reads."""


class Closed(BaseModel):
    """A body in which nothing is ignored: what we do not know is refused."""

    model_config = ConfigDict(extra="forbid")


Body = TypeVar("Body", bound=BaseModel)


async def read(request: Request, model: type[Body]) -> Body:
    """The body as `model`; no body at all is an empty one. Raises BodyTooLarge, MalformedBody."""
    raw = await bodies.read(request, BODY_BYTES)
    return parse(bodies.parse_object(raw) if raw else {}, model)


def parse(body: Mapping[str, Any], model: type[Body]) -> Body:
    """Raises MalformedBody with the first fault."""
    try:
        return model.model_validate(body, strict=True)
    except ValidationError as error:
        [fault, *_] = error.errors(include_url=False, include_input=False)
        where = ".".join(str(part) for part in fault["loc"]) or "The body"
        raise bodies.MalformedBody(f"{where}: {fault['msg']}.") from None


def limit(text: str | None) -> int:
    """How many rows a page may have. Raises InvalidQuery."""
    if text is None:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidQuery(f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def flag(name: str, text: str | None, *, default: bool) -> bool:
    """Raises InvalidQuery."""
    if text is None:
        return default
    if text not in {"true", "false"}:
        raise InvalidQuery(f"{name} is 'true' or 'false'.")
    return text == "true"


def text(name: str, said: str | None, longest: int) -> str | None:
    """Raises InvalidQuery."""
    if said is not None and (not 1 <= len(said) <= longest or "\0" in said):
        raise InvalidQuery(f"{name} must have 1 to {longest} characters, and none of them NUL.")
    return said


def moment(when: dt.datetime | None) -> str | None:
    return clock.rfc3339(when) if when else None
