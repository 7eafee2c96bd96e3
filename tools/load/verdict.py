"""Whether every promise was kept: what the clients saw and what the database says, job by job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atelier.kit.database import Database
from tools.load.plan import Plan
from tools.load.tally import Seen, Tally
from tools.load.watch import Curve

_JOBS = """
SELECT k.key, j.id::text, j.state,
       (SELECT count(*) FROM job_events e WHERE e.job_id = j.id AND e.terminal),
       (SELECT count(*) FROM outputs o WHERE o.job_id = j.id),
       (SELECT count(*) FROM attempts a WHERE a.job_id = j.id AND a.state <> 'ended'),
       (SELECT h.state FROM holds h WHERE h.job_id = j.id)
FROM jobs j LEFT JOIN idempotency_keys k ON k.job_id = j.id
"""

SETTLED = {"succeeded": "captured", "failed": "released", "canceled": "released", "expired": "released"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A job as the database has it."""

    job_id: str
    state: str
    ends: int
    outputs: int
    living: int
    hold: str | None


async def kept(database: Database) -> dict[str, Kept]:
    """Every job by its idempotency key."""
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = on")
        rows = await (await tx.execute(_JOBS)).fetchall()
    return {row[0]: Kept(*row[1:]) for row in rows}


def lost(tally: Tally, jobs: Mapping[str, Kept]) -> list[str]:
    """What is wrong with any job, in words; nothing when each ended once, as its client saw it."""
    unknown = [f"nobody asked for job {jobs[key].job_id}" for key in jobs.keys() - tally.jobs.keys()]
    return unknown + [why for seen in tally.jobs.values() if (why := _wrong(seen, jobs.get(seen.key)))]


def _wrong(seen: Seen, kept: Kept | None) -> str:
    if kept is None:
        return f"job {seen.job_id} was accepted and is not there" if seen.job_id else ""
    named = f"job {kept.job_id}"
    if kept.state not in SETTLED or kept.ends != 1 or kept.living:
        return f"{named} has not ended once: {kept.state}, {kept.ends} ends, {kept.living} living attempts"
    if seen.job_id and kept.state != seen.status:
        return f"{named} is {kept.state}, and its client saw {seen.status or 'no end'}"
    if kept.hold != SETTLED[kept.state] or (kept.state == "succeeded") != (kept.outputs > 0):
        return f"{named} is {kept.state} with {kept.outputs} outputs and a hold {kept.hold}"
    return ""


def grown(plan: Plan, curves: Mapping[str, Curve]) -> list[str]:
    """Processes that grew more than they may, in words."""
    warm = {name: curve.since(plan.warm_up) for name, curve in curves.items()}
    return [
        f"{name} grew by {curve.growth:.1f} MiB after its warm-up, more than {plan.memory_bound:.0f}"
        for name, curve in warm.items()
        if curve.growth > plan.memory_bound
    ]


def died(alive: Mapping[str, bool]) -> Sequence[str]:
    return [f"{name} ended by itself" for name, lives in alive.items() if not lives]
