"""Whatever goes wrong leaves as one problem: a status from one table, a code, a sentence, and no internals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from atelier.kit.errors import Kind, Refusal

STATUS: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.PAYMENT: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNPROCESSABLE: 422,
    Kind.BUSY: 429,
    Kind.OPERATOR: 500,
    Kind.UNAVAILABLE: 503,
}
"""The only place where a refusal's kind becomes an HTTP status."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="api"'}
_RETRY_AFTER = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error answer says, before a dialect gives it its shape."""

    status: int
    code: str
    message: str
    details: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Envelope = Callable[[Problem], Response]
"""How one dialect spells a problem."""


class Envelopes:
    """The envelope of every path, known or not: `of` says whose it is."""

    def __init__(self, of: Callable[[str], Envelope]) -> None:
        self._of = of

    def answer(self, path: str, problem: Problem) -> Response:
        return self._of(path)(problem)


def from_refusal(refusal: Refusal) -> Problem:
    """A refusal as it is: its code and its sentence are meant for the asker. Waiting is at least one second."""
    headers: dict[str, str] = {}
    if refusal.kind is Kind.UNAUTHORIZED:
        headers |= _CHALLENGE
    if refusal.kind in {Kind.BUSY, Kind.UNAVAILABLE} or refusal.retry_after:
        headers["Retry-After"] = str(max(refusal.retry_after or _RETRY_AFTER, 1))
    return Problem(STATUS[refusal.kind], refusal.code, refusal.message, refusal.details, headers)


def from_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """What the router itself refuses: 404 and 405, mostly."""
    known = HTTPStatus(status)
    code = known.phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(status, code, f"{known.phrase}.", None, headers or {})


INTERNAL = Problem(500, "internal_error", "Something went wrong on our side; the request id names it in our log.")
AWAY = Problem(
    503,
    "unavailable",
    "The service cannot reach its database right now; try again in a moment.",
    None,
    {"Retry-After": str(_RETRY_AFTER)},
)
