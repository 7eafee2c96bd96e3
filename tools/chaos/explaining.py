"""Every job that failed says why, and what was done to its servers bears it out; what gave up is a dead letter."""

from collections.abc import Sequence

from atelier.jobs.model import Cause
from tools.chaos.facts import AttemptFact, Facts, JobFact
from tools.chaos.orders import Sort
from tools.chaos.running import Run

GIVEN_UP = frozenset({"poison", *Cause})
"""Codes of jobs that were given up for a reason that is not the graph's."""

SLOWS = frozenset({"wedge", "stall", "stuck", "slow", "hang_server", "delay_connections", "kill_server"})
"""Deeds by which a run may take longer than it may."""


def unexplained(run: Run) -> list[str]:
    attempts = run.facts.attempts_of()
    sorts = {str(one.order.number): one.order.sort for one in run.told}
    found: list[str] = []
    for job in run.facts.jobs:
        sort = sorts.get(job.number or "", Sort.PLAIN)
        tried = attempts[job.id]
        if job.state == "failed" and not _explained(run, job, tried, sort):
            found.append(f"job {job.id} ({sort}): {job.code}: {job.message}; {_told(tried)}")
        elif job.state == "succeeded" and sort in {Sort.FAILING, Sort.ENDLESS}:
            found.append(f"job {job.id} can only fail, and succeeded")
        elif job.state == "expired":
            found.append(f"job {job.id} expired within a run of minutes")
    return found + _letters(run.facts)


def _explained(run: Run, job: JobFact, tried: Sequence[AttemptFact], sort: Sort) -> bool:
    if job.code in GIVEN_UP:
        return all(attempt.evidence for attempt in tried if attempt.outcome not in {"withdrawn", "succeeded"})
    match job.code:
        case "node_execution_error":
            return sort is Sort.FAILING
        case "timed_out":
            return sort is Sort.ENDLESS or _slowed(run, tried)
        case _:
            return False


def _slowed(run: Run, tried: Sequence[AttemptFact]) -> bool:
    last = tried[-1]
    return any(
        deed.kind in SLOWS and deed.touches(last.server, last.claimed_at, last.ended_at or run.ended)
        for deed in run.deeds
    )


def _letters(facts: Facts) -> list[str]:
    """Dead letters are exactly the jobs that were given up."""
    given_up = {job.id: job.code for job in facts.jobs if job.state == "failed" and job.code in GIVEN_UP}
    missing = [
        f"job {job} ended as {code} and is no dead letter"
        for job, code in given_up.items() - facts.dead_letters.items()
    ]
    odd = [f"job {job} is a dead letter ({code})" for job, code in facts.dead_letters.items() - given_up.items()]
    return missing + odd


def _told(tried: Sequence[AttemptFact]) -> str:
    return "; ".join(f"{one.number} on {one.server} {_when(one)}: {one.outcome} {one.evidence}" for one in tried)


def _when(one: AttemptFact) -> str:
    times = (one.claimed_at, one.started_at, one.ended_at)
    return "-".join(f"{at:%H:%M:%S.%f}"[:-4] if at else "?" for at in times)
