"""What waits for one slow reader is bounded: of looks at work in progress the newest wins, states are all kept."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

CROWDED_MESSAGES = 16
CROWDED_BYTES = 256 * 1024
"""From here on a newer look takes the place of the one that still waits."""

MAX_MESSAGES = 5_000
MAX_BYTES = 32 * 1024 * 1024
"""A reader that is so far behind is none."""

OVERHEAD = 64
"""Bytes that a message costs besides its own."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: str | bytes
    key: Hashable | None

    @property
    def size(self) -> int:
        return len(self.message) + OVERHEAD


class Outbox:
    """Messages in the order in which they were put."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._newest: dict[Hashable, int] = {}
        self._number = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: str | bytes, key: Hashable | None = None) -> bool:
        """False when there is no room left: then nothing was put. What has a `key` may be replaced by its next."""
        if key is not None and self._crowded():
            self._drop(self._newest.get(key))
        waiting = _Waiting(message, key)
        if not self._room(waiting):
            self._drop_looks()
            if key is not None or not self._room(waiting):
                return key is not None
        self._number += 1
        self._waiting[self._number] = waiting
        self._bytes += waiting.size
        if key is not None:
            self._newest[key] = self._number
        return True

    def take(self) -> str | bytes | None:
        """The oldest message; None when nothing waits."""
        if not self._waiting:
            return None
        number, waiting = self._waiting.popitem(last=False)
        self._bytes -= waiting.size
        self._forget(number, waiting.key)
        return waiting.message

    def _crowded(self) -> bool:
        return len(self._waiting) >= CROWDED_MESSAGES or self._bytes >= CROWDED_BYTES

    def _room(self, waiting: _Waiting) -> bool:
        """A single message always has some, whatever its size."""
        if not self._waiting:
            return True
        return len(self._waiting) < MAX_MESSAGES and self._bytes + waiting.size <= MAX_BYTES

    def _drop_looks(self) -> None:
        for number in tuple(self._newest.values()):
            self._drop(number)

    def _drop(self, number: int | None) -> None:
        waiting = self._waiting.pop(number, None) if number is not None else None
        if waiting is not None and number is not None:
            self._bytes -= waiting.size
            self._forget(number, waiting.key)

    def _forget(self, number: int, key: Hashable | None) -> None:
        if key is not None and self._newest.get(key) == number:
            del self._newest[key]
