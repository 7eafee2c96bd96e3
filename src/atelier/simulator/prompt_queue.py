"""Prompts wait in a heap of (number, id); what ran is remembered in the order in which it ended.

Shapes and order as ComfyUI's: the pending list is the raw heap array, deleting takes the first match, history
keeps the last 10,000. Two equal (number, id) pairs compare by arrival here; the real server's thread would die.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_HISTORY = 10_000
_LOOK_AGAIN = 0.2
SENSITIVE = ("auth_token_comfy_org", "api_key_comfy_org")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One submitted graph. `outputs` are the output nodes that passed validation."""

    number: float
    id: str
    graph: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: tuple[str, ...]

    def as_json(self) -> list[Any]:
        return [self.number, self.id, self.graph, self.extra_data, list(self.outputs)]

    @property
    def client_id(self) -> str | None:
        """Whom its messages go to. None: those for one client are not sent, the others go to everybody."""
        value: Any = self.extra_data.get("client_id")
        return value if value is None or isinstance(value, str) else str(value)


@dataclass(order=True, slots=True)
class _Waiting:
    number: float
    prompt_id: str
    arrival: int
    prompt: Prompt = field(compare=False)


@dataclass(frozen=True, slots=True)
class Flags:
    """What `/free` asked for; the worker obeys between two prompts."""

    unload_models: bool = False
    free_memory: bool = False


class PromptQueue:
    """Shared by the event loop, which puts, and the worker thread, which takes.

    `changed` follows each change; `starting` comes just before a prompt counts as running; nothing is taken while
    it has `stalled`.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        starting: Callable[[], None],
        stalled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._changed = changed
        self._starting = starting
        self._stalled = stalled
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._heap: list[_Waiting] = []
        self._arrivals = itertools.count()
        self._running: Prompt | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._flags = Flags()
        self._closed = False

    @property
    def running(self) -> Prompt | None:
        return self._running

    def put(self, prompt: Prompt) -> None:
        with self._wake:
            heapq.heappush(self._heap, _Waiting(prompt.number, prompt.id, next(self._arrivals), prompt))
            self._changed()
            self._wake.notify()

    def take(self) -> Prompt | Flags | None:
        """Wait for the next prompt, or for what `/free` asked, or for the end of the server (None)."""
        with self._wake:
            while not self._closed and (self._stalled() or not (self._heap or self._flags != Flags())):
                self._wake.wait(timeout=_LOOK_AGAIN if self._stalled() else 60.0)
            if self._closed:
                return None
            if self._flags != Flags():
                flags, self._flags = self._flags, Flags()
                return flags
            prompt = heapq.heappop(self._heap).prompt
            self._starting()
            self._running = prompt
            self._changed()
            return prompt

    def finish(self, prompt: Prompt, result: dict[str, Any], status: dict[str, Any] | None) -> None:
        """The prompt ended: history first, then everybody is told."""
        with self._lock:
            self._running = None
            if len(self._history) > MAX_HISTORY:
                self._history.pop(next(iter(self._history)))
            entry = {"prompt": _without_secrets(prompt), "outputs": {}, "status": status, **result}
            self._history[prompt.id] = entry
            self._changed()

    def set_flags(self, flags: Flags) -> None:
        with self._wake:
            self._flags = Flags(
                self._flags.unload_models or flags.unload_models, self._flags.free_memory or flags.free_memory
            )
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def remaining(self) -> int:
        with self._lock:
            return len(self._heap) + (self._running is not None)

    def snapshot(self) -> dict[str, list[Any]]:
        """The answer of GET /queue."""
        with self._lock:
            running = [] if self._running is None else [self._running.as_json()]
            return {"queue_running": running, "queue_pending": [one.prompt.as_json() for one in self._heap]}

    def clear(self) -> None:
        with self._lock:
            self._heap.clear()
            self._changed()

    def delete(self, prompt_id: object) -> None:
        """Drop the first waiting prompt of that id, if there is one. A running one is never touched."""
        with self._lock:
            found = next((place for place, one in enumerate(self._heap) if one.prompt_id == prompt_id), None)
            if found is not None:
                self._heap.pop(found)
                heapq.heapify(self._heap)
                self._changed()

    def history_of(self, prompt_id: str) -> dict[str, Any]:
        with self._lock:
            return {prompt_id: self._history[prompt_id]} if prompt_id in self._history else {}

    def history(self, max_items: int | None, offset: int) -> dict[str, Any]:
        """`max_items` from `offset` (counted from the oldest); a negative offset means the last `max_items`."""
        with self._lock:
            start = len(self._history) - max_items if offset < 0 and max_items is not None else offset
            stop = None if max_items is None else max(0, start) + max(1, max_items)
            return dict(itertools.islice(self._history.items(), max(0, start), stop))

    def forget(self, prompt_id: object) -> None:
        with self._lock:
            if isinstance(prompt_id, str):
                self._history.pop(prompt_id, None)

    def forget_all(self) -> None:
        with self._lock:
            self._history.clear()


def _without_secrets(prompt: Prompt) -> list[Any]:
    shown = prompt.as_json()
    shown[3] = {key: value for key, value in prompt.extra_data.items() if key not in SENSITIVE}
    return shown
