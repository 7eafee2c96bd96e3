"""All that is known of a job beside what its dialect shows: whose it is, its attempts, what they left behind."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atelier.jobs.model import JobState, Outcome
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId, ServerId

_TERMS = """
SELECT coalesce(c.name, ''), j.dialect, j.lane, j.requirement_id, j.run_timeout, j.wait_until, j.not_before,
       j.server_deaths, j.dispatcher_losses, d.replayed_as, d.died_at IS NOT NULL AND d.settled_at IS NULL, j.avoid
FROM jobs j LEFT JOIN accounts c ON c.id = j.account_id LEFT JOIN dead_letters d ON d.job_id = j.id
WHERE j.id = %s
"""

_ATTEMPTS = """
SELECT number, server_id, state, outcome, evidence, claimed_at, started_at, ended_at
FROM attempts WHERE job_id = %s ORDER BY number
"""

# New ids sort by the time they were made, so the primary key gives the newest jobs of everybody.
_NEWEST = """
SELECT id, account_id FROM jobs
WHERE (%(before)s::uuid IS NULL OR id < %(before)s)
  AND (%(states)s::text[] = '{}' OR state = ANY(%(states)s::text[]))
ORDER BY id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try on one server. `evidence` may hold addresses of servers: it is for those who may know them."""

    number: int
    server_id: ServerId
    state: str
    outcome: Outcome | None
    evidence: dict[str, Any] | None
    claimed_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a job was accepted under, and what became of it. `run_timeout` in seconds, None: by what it makes.

    `avoid`: servers that failed it. `dead`: it is a dead letter that nobody settled; `replayed_as`: its new job.
    """

    account: str
    dialect: str
    lane: str
    requirement_id: int
    run_timeout: float | None
    wait_until: dt.datetime
    not_before: dt.datetime
    server_deaths: int
    dispatcher_losses: int
    replayed_as: JobId | None
    dead: bool
    avoid: tuple[str, ...]


async def owner(tx: Tx, job_id: JobId) -> AccountId | None:
    """Whose job it is: only for those who may see everybody's."""
    row = await (await tx.execute("SELECT account_id FROM jobs WHERE id = %s", (job_id,))).fetchone()
    return AccountId(row[0]) if row else None


async def terms(tx: Tx, job_id: JobId) -> Terms | None:
    """The caller has checked whose job it is."""
    row = await (await tx.execute(_TERMS, (job_id,))).fetchone()
    return dataclasses.replace(Terms(*row), avoid=tuple(row[-1])) if row else None


async def attempts(tx: Tx, job_id: JobId) -> list[Attempt]:
    """In order. The caller has checked whose job it is."""
    rows = await tx.execute(_ATTEMPTS, (job_id,))
    return [_attempt(row) for row in await rows.fetchall()]


async def newest(
    tx: Tx, *, limit: int, before: JobId | None, states: Sequence[JobState]
) -> list[tuple[JobId, AccountId]]:
    """The newest jobs of all accounts, those before `before`, in one of these states (none: any)."""
    rows = await tx.execute(_NEWEST, {"limit": limit, "before": before, "states": list(states)})
    return [(JobId(row[0]), AccountId(row[1])) for row in await rows.fetchall()]


async def set_priority(tx: Tx, job_id: JobId, priority: int, wished: int | None) -> bool:
    """False when it does not wait any more. Wake `queue` after the commit."""
    rows = await tx.execute(
        "UPDATE jobs SET priority = %s, wished_priority = %s WHERE id = %s AND state IN ('queued', 'preparing')",
        (priority, wished, job_id),
    )
    return rows.rowcount == 1


def _attempt(row: tuple[Any, ...]) -> Attempt:
    number, server_id, state, outcome, *rest = row
    return Attempt(number, ServerId(server_id), state, Outcome(outcome) if outcome else None, *rest)
