"""Faults are switched on from outside while the server runs, each until it is used up or switched off."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "die",
    "wedge",
    "stall",
    "stuck",
    "out_of_memory",
    "cuda_fault",
    "disk_full",
    "slow",
    "drop_socket",
    "no_socket",
    "lose_history",
    "lose_models",
    "error_after_enqueue",
    "view_missing",
)

LATCHED = frozenset({"cuda_fault"})
"""Only a restart of the process ends these."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`times` uses are left (None: until switched off). `delay` seconds and `factor` belong to `slow`."""

    kind: str
    times: int | None = None
    delay: float = 0.0
    factor: float = 1.0


def parse(body: Mapping[str, Any]) -> Fault | None:
    """`{"fault": kind, "times": n, "delay": s, "factor": f}`; None if it names no fault or a number is none."""
    kind, times = body.get("fault"), body.get("times")
    delay, factor = body.get("delay", 0.0), body.get("factor", 1.0)
    numbers_fit = all(isinstance(value, int | float) for value in (delay, factor))
    if kind not in KINDS or not numbers_fit or not (times is None or isinstance(times, int)):
        return None
    return Fault(kind, times, float(delay), float(factor))


@dataclass(slots=True)
class Faults:
    """What is broken now. Asked by the event loop and by the worker thread."""

    _on: dict[str, Fault] = field(default_factory=dict[str, Fault])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def switch_on(self, fault: Fault) -> None:
        with self._lock:
            self._on[fault.kind] = fault
        with self._changed:
            self._changed.notify_all()

    def switch_off(self, kind: str | None = None) -> None:
        """One fault, or all; those that are latched stay."""
        with self._lock:
            for name in [kind] if kind is not None else list(self._on):
                if name not in LATCHED:
                    self._on.pop(name, None)
        with self._changed:
            self._changed.notify_all()

    def is_on(self, kind: str) -> bool:
        return kind in self._on

    def use(self, kind: str) -> Fault | None:
        """The fault if it is on; one use is taken off, the last one switches it off."""
        with self._lock:
            fault = self._on.get(kind)
            if fault is None:
                return None
            if fault.times is not None:
                self._count_down(fault, fault.times - 1)
            return fault

    def wait_while(self, kind: str) -> None:
        """Stand still for as long as that fault is on."""
        with self._changed:
            while self.is_on(kind):
                self._changed.wait(timeout=1.0)

    def as_json(self) -> list[str]:
        return sorted(self._on)

    def _count_down(self, fault: Fault, left: int) -> None:
        if left <= 0:
            del self._on[fault.kind]
        else:
            self._on[fault.kind] = Fault(fault.kind, left, fault.delay, fault.factor)
