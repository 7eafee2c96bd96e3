"""A refusal is a class with data, a kind and a stable code; anything else that is raised is a bug."""

import enum
from collections.abc import Mapping
from typing import Any, ClassVar


class Kind(enum.Enum):
    """What the asker can do next. Each face (HTTP, CLI, bot) has one table from kind to its own words."""

    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    PAYMENT = "payment"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNPROCESSABLE = "unprocessable"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    OPERATOR = "operator"


class Refusal(Exception):  # noqa: N818 - it refuses, it does not err
    """Base of every refusal. `message` is one sentence for a person, with the cure where there is one.

    `details` is a JSON object for programs, or None; `retry_after` is whole seconds (>= 1) where waiting helps.
    """

    kind: ClassVar[Kind] = Kind.INVALID
    code: ClassVar[str] = "invalid_request"

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after = retry_after


class NotFound(Refusal):
    """There is no such thing, or it belongs to somebody else: the asker cannot tell which."""

    kind = Kind.NOT_FOUND
    code = "not_found"


class SetupFailed(Refusal):
    """A process cannot start. The message is one sentence with the cure; the command line prints it and ends."""

    kind = Kind.OPERATOR
    code = "setup_failed"
