"""When a second prompt may wait on a server behind the one that runs, and when it is worth to take it back."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from atelier.fleet.model import Party, Placement, Share, Slot, SlotKind, Waiting
from atelier.fleet.policy import Knowledge, assign
from atelier.kit.ids import JobId

AHEAD_WITHIN = 3.0
"""A second prompt is placed ahead only when the running one's expected rest is shorter than this (seconds)."""

WITHDRAW_OVER = 0.5
"""A prompt placed ahead is taken back only for a server where it begins this much sooner (seconds)."""

_VIDEO = ("video", "animat", "svd_", "ltxv", "wanimage")


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


def worth_taking_back(rest: float, swap: float) -> bool:
    """Whether a prompt that still waits `rest` seconds begins sooner on a server that is free now.

    `swap`: seconds that its models take to load there, 0 where they are loaded. A prompt that is taken back for
    less would be placed behind the same one again.
    """
    return rest > swap + WITHDRAW_OVER


def assign_behind(
    first: Sequence[Placement],
    waiting: Sequence[Waiting],
    shares: Mapping[Party, Share],
    fleet: Knowledge,
    short: Callable[[Placement], float | None],
) -> list[Placement]:
    """One more job behind each that has just been given to an idle server.

    `short` gives the seconds that such a job will run, or None where nothing may be placed behind it.
    """
    jobs = {job.job_id: job for job in waiting}
    behind: list[Slot] = []
    for placement in first:
        rest = short(placement) if placement.slot.kind is SlotKind.IDLE else None
        if rest is not None:
            lane = jobs[placement.job_id].lane
            warm = placement.slot.warm | {lane} if lane else placement.slot.warm
            behind.append(dataclasses.replace(placement.slot, kind=SlotKind.AHEAD, rest=rest, warm=warm))
    given = _given(first, jobs, shares)
    taken = {placement.job_id for placement in first}
    return assign(behind, [job for job in waiting if job.job_id not in taken], given, fleet)


def _given(
    first: Sequence[Placement], jobs: Mapping[JobId, Waiting], shares: Mapping[Party, Share]
) -> dict[Party, Share]:
    """The shares as they are once these placements have begun."""
    given = dict(shares)
    for placement in first:
        party = jobs[placement.job_id].party
        share = given.get(party) or Share()
        may_begin = None if share.may_begin is None else share.may_begin - 1
        time = share.virtual_time + placement.cost / share.weight
        given[party] = Share(time, share.weight, may_begin)
    return given
