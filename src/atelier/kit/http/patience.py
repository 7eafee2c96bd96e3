"""Whoever fails again and again has to wait, each source for itself; what is remembered of it is small."""

import math
from typing import ClassVar

from atelier.kit import clock
from atelier.kit.errors import Kind, Refusal

MOST_SOURCES = 10_000


class TooManyFailures(Refusal):
    """Too many failures of one source within a short time."""

    kind: ClassVar[Kind] = Kind.BUSY
    code: ClassVar[str] = "too_many_failures"


class Patience:
    """A source may fail `burst` times at once, and once more each `seconds`. In this process alone."""

    def __init__(self, burst: int = 10, seconds: float = 6.0) -> None:
        self._allowed = burst * seconds
        self._each = seconds
        self._until: dict[str, float] = {}

    def check(self, source: str) -> None:
        """Raises TooManyFailures, with the seconds to wait."""
        over = self._until.get(source, 0.0) + self._each - clock.monotonic() - self._allowed
        if over > 0:
            raise TooManyFailures("That failed too often; wait a moment.", retry_after=math.ceil(over))

    def failed(self, source: str) -> None:
        until = max(self._until.pop(source, 0.0), clock.monotonic()) + self._each
        if len(self._until) >= MOST_SOURCES:
            del self._until[next(iter(self._until))]
        self._until[source] = until
