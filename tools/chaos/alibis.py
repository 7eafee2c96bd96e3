"""A picture that was rendered again needs an alibi: its server died or lost it, or the request came too late."""

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence

from tools.chaos.facts import AttemptFact
from tools.chaos.pictures import Render
from tools.chaos.running import Run

SLACK = dt.timedelta(seconds=1)

LOSES = frozenset(
    {
        *("kill_server", "hang_server", "wedge", "stall", "stuck", "cuda_fault"),
        *("disk_full", "lose_history", "view_missing"),
    }
)
"""Deeds after which a server is dead, counts as lost, or has lost what it made."""

DELAYS = frozenset({"late_request", "freeze_dispatcher"})
"""Deeds by which a request comes after its lease."""


def rendered_once(run: Run) -> tuple[list[str], Counter[str]]:
    """Breaks, and how often each alibi was good for a second rendering."""
    attempts = {attempt.prompt_id: attempt for attempt in run.facts.attempts}
    by_job: defaultdict[uuid.UUID, list[tuple[Render, AttemptFact]]] = defaultdict(list)
    broken: list[str] = []
    for render in run.renders:
        attempt = attempts.get(render.prompt_id)
        if attempt is None:
            broken.append(f"{render.server} rendered {render.prompt_id}, which no attempt knows")
        else:
            by_job[attempt.job_id].append((render, attempt))
    again = Counter[str]()
    for renders in by_job.values():
        for render, attempt in _extra(renders):
            why = _alibi(run, render, attempt)
            again[why] += 1
            if not why:
                broken.append(_accused(render, attempt))
    del again[""]
    return broken + _twice_under_one_id(run.renders), again


def _extra(renders: Sequence[tuple[Render, AttemptFact]]) -> list[tuple[Render, AttemptFact]]:
    """All but the one that counts: that of the success, else the last."""
    ordered = sorted(renders, key=lambda one: (one[1].outcome == "succeeded", one[1].number))
    return ordered[:-1]


def _alibi(run: Run, render: Render, attempt: AttemptFact) -> str:
    ended = attempt.ended_at or run.ended
    late = render.at > ended
    began, until = attempt.claimed_at - SLACK, max(render.at, ended) + SLACK
    if late and any(deed.kind in DELAYS and _near(deed.began, deed.ended, began, until) for deed in run.deeds):
        return "late: sent by a dispatcher that had lost its lease"
    for deed in run.deeds:
        if deed.kind in LOSES and deed.touches(attempt.server, began, until):
            return f"{deed.kind} of its server"
    return ""


def _near(one: dt.datetime, end: dt.datetime | None, began: dt.datetime, until: dt.datetime) -> bool:
    return one <= until and (end is None or end >= began)


def _accused(render: Render, attempt: AttemptFact) -> str:
    return (
        f"{render.server} rendered job {attempt.job_id} at {render.at:%H:%M:%S.%f} for attempt {attempt.number}"
        f" ({attempt.outcome} {attempt.evidence}, claimed {attempt.claimed_at:%H:%M:%S.%f},"
        f" ended {attempt.ended_at:%H:%M:%S.%f}), and it was rendered again"
    )


def _twice_under_one_id(renders: Sequence[Render]) -> list[str]:
    counted = Counter((render.server, render.prompt_id) for render in renders)
    return [
        f"{server} ran {prompt_id} {count} times" for (server, prompt_id), count in counted.items() if count > 1
    ]
