"""Which waiting job goes to which free slot: a pure function of what is free and what waits.

Today's policy: class first, then age; any server that satisfies the job's requirement set, idle ones first.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from atelier.fleet.model import Placement, Slot, SlotKind, Waiting
from atelier.kit.ids import ServerId


class Knowledge(Protocol):
    """What is known of the fleet beside its slots. Durations in seconds."""

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        """Whether this server satisfies the requirement set of this id."""
        ...

    def run_seconds(self, shape: bytes, server_id: ServerId) -> float | None:
        """How long a graph of this shape runs there with its models loaded; None: never measured."""
        ...

    def load_seconds(self, lane: str, server_id: ServerId) -> float:
        """How long this lane's models take to load there; a guess where it was not measured."""
        ...


Satisfies = Callable[[ServerId, int], bool]
"""Whether this server satisfies the requirement set of this id."""

_VIDEO = ("video", "animat", "svd_", "ltxv", "wanimage")

AHEAD_WITHIN = 3.0
"""A second prompt is placed ahead only when the running one's expected rest is shorter than this (seconds)."""

WITHDRAW_OVER = 0.5
"""A prompt placed ahead is taken back for a free server only when it would wait longer than this (seconds)."""


def assign(slots: Sequence[Slot], waiting: Sequence[Waiting], satisfies: Satisfies) -> list[Placement]:
    """Each job in turn takes the best slot that can run it; a slot takes one job."""
    free = sorted(slots, key=lambda slot: (slot.kind is SlotKind.AHEAD, slot.rest, slot.server_id))
    placements: list[Placement] = []
    for job in sorted(waiting, key=_order):
        slot = next((slot for slot in free if satisfies(slot.server_id, job.requirement_id)), None)
        if slot is not None:
            free.remove(slot)
            placements.append(Placement(job.job_id, slot, _reason(slot)))
        if not free:
            break
    return placements


def assign_behind(
    first: Sequence[Placement],
    waiting: Sequence[Waiting],
    satisfies: Satisfies,
    short: Callable[[Placement], float | None],
) -> list[Placement]:
    """One more job behind each that has just been given to an idle server.

    `short` gives the seconds that such a job will run, or None where nothing may be placed behind it.
    """
    taken = {placement.job_id for placement in first}
    idle = [placement for placement in first if placement.slot.kind is SlotKind.IDLE]
    behind = [
        dataclasses.replace(placement.slot, kind=SlotKind.AHEAD, rest=rest)
        for placement in idle
        if (rest := short(placement)) is not None
    ]
    return assign(behind, [job for job in waiting if job.job_id not in taken], satisfies)


def runs_video(classes: Iterable[str]) -> bool:
    """Whether these node classes make moving pictures: their run times say little about the next run."""
    return any(word in name.lower() for name in classes for word in _VIDEO)


def may_place_ahead(rest: float | None, *, video: bool) -> bool:
    """Whether a second prompt may wait behind one that has `rest` seconds to go (None: unknown)."""
    return rest is not None and rest < AHEAD_WITHIN and not video


def expected_rest(expected: float | None, elapsed: float) -> float | None:
    """Seconds that a run of `expected` seconds still needs; an overdue one a quarter of its age."""
    if expected is None:
        return None
    return max(expected - elapsed, elapsed / 4 if elapsed > expected else 0.0)


def _order(job: Waiting) -> tuple[int, int]:
    return (-job.party.priority, job.position)


def _reason(slot: Slot) -> str:
    if slot.kind is SlotKind.IDLE:
        return f"{slot.server_id} is idle"
    return f"{slot.server_id} is free in about {slot.rest:.1f} s"
