"""How much one server may be given: so many jobs a minute, and a canary only its part of what it could take."""

from collections import deque
from collections.abc import Iterable

MINUTE = 60.0


class Throttle:
    """Counts what a server was given. Times in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._given: deque[float] = deque()
        self._passed = 0.0

    def restore(self, given: Iterable[float]) -> None:
        """When it was given jobs in the last minute, by whomever, in any order."""
        self._given = deque(sorted(given))

    def give(self, now: float) -> None:
        self._given.append(now)

    def room(self, now: float, most: int) -> int | None:
        """How many more jobs it may be given at this moment, of `most` in any minute (0: any number, None)."""
        while self._given and self._given[0] <= now - MINUTE:
            self._given.popleft()
        return max(most - len(self._given), 0) if most else None

    def rest(self, now: float, most: int) -> float:
        """Seconds until it may be given one more."""
        if self.room(now, most) != 0:
            return 0.0
        return max(self._given[len(self._given) - most] + MINUTE - now, 0.0)

    # A canary ----------------------------------------------------------------------------------

    def pass_by(self, share: float) -> None:
        """Somebody was given a job that this server could have run as well."""
        self._passed = min(self._passed + share, 1.0 + share)

    def take_turn(self) -> None:
        """It was this server that was given one of those."""
        self._passed -= 1.0

    def is_its_turn(self, share: float) -> bool:
        """Whether it may take a job that others could run: one in `1 / share`, counted, so that it is exact."""
        return self._passed + share >= 1.0 - 1e-9
