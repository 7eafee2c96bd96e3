"""How soon a place in a full queue becomes free, judged by how many left it lately; pure."""

import math
from collections import Counter
from collections.abc import Mapping

from atelier.kit.ids import AccountId

SOONEST = 1
LATEST = 5
"""Seconds that a refused client is asked to wait: no storm, and nobody stays away for long."""


class Outflow:
    """Counts of waiting jobs by account, one after the other; `accepted` between them makes departures seen."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._waiting: Mapping[AccountId, int] = {}
        self._accepted: Counter[AccountId] = Counter()
        self._seconds = 0.0
        self._left: Counter[AccountId] = Counter()

    def accept(self, account_id: AccountId) -> None:
        """One more waits since the last count."""
        self._accepted[account_id] += 1

    def count(self, now: float, waiting: Mapping[AccountId, int]) -> None:
        """A new count, at `now` on a monotonic clock."""
        before = Counter(self._waiting) + self._accepted
        self._left = Counter({one: max(count - waiting.get(one, 0), 0) for one, count in before.items()})
        self._seconds = now - self._at
        self._at, self._waiting, self._accepted = now, dict(waiting), Counter()

    def seconds_to_one(self, account_id: AccountId | None = None) -> int:
        """Whole seconds until one more of this account, or of anybody, has probably left."""
        left = self._left[account_id] if account_id is not None else self._left.total()
        if not left or not math.isfinite(self._seconds):
            return LATEST
        return min(max(math.ceil(self._seconds / left), SOONEST), LATEST)
