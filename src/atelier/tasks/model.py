"""What a task is, and how fast its worker lives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Run = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds. A worker that is silent for `stalled` is dead; it speaks three times in that time."""

    heartbeat: float = 5.0
    stalled: float = 15.0
    poll: float = 1.0
    """How late a task starts at the most when its wake-up was lost."""
    grace: float = 5.0
    """How long running tasks may go on when the worker is stopped; then they are cancelled and wait again."""


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    run: Run
    tries: int


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    cron: str
    """Five fields, or six with seconds last, in UTC."""
    name: str
    run: Callable[[], Awaitable[None]]
