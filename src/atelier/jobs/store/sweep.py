"""Periodic work on jobs: waiting too long, keeping too long, partitions of the event log."""

import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from atelier.fleet.words import span
from atelier.jobs.model import JobError, JobState
from atelier.jobs.store import attempts
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

Why = Callable[[Tx, Sequence[JobId]], Awaitable[Mapping[JobId, str]]]
"""Words for why these jobs wait, as the end of "It was still …"."""

_OVERDUE = """
SELECT id, account_id, extract(epoch FROM now() - created_at)::float8 FROM jobs
WHERE state = 'queued' AND wait_until < now() ORDER BY wait_until LIMIT %s
FOR UPDATE SKIP LOCKED
"""

_MISSING_DAYS = """
SELECT day::date FROM generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 3,
                                      interval '1 day') AS day
WHERE to_regclass('job_events_' || to_char(day, 'YYYYMMDD')) IS NULL
"""

_OLD_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'job_events'::regclass AND c.relname ~ '^job_events_[0-9]{8}$'
  AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - %s::int
"""

_MOVE_DAY = """
WITH moved AS (DELETE FROM job_events_default WHERE job_day = {day} RETURNING *)
INSERT INTO {partition} SELECT * FROM moved
"""

_FORGET_EVENTS = """
DELETE FROM job_events e USING jobs j
WHERE j.id = ANY(%s) AND e.job_id = j.id AND e.job_day = (j.created_at AT TIME ZONE 'UTC')::date
"""

_OF_A_JOB = ("outputs", "job_inputs", "holds", "job_progress", "job_previews", "job_watches", "dead_letters")

# A walk along the index of keep_until, so that a clean-up reads each finished job once.
_LOOK = """
SELECT j.id, j.keep_until, finished_at < now() - make_interval(secs => %(older_than)s) AND state = ANY(%(states)s)
       AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.job_id = j.id AND d.settled_at IS NULL)
FROM jobs j
WHERE finished_at IS NOT NULL AND (%(until)s::timestamptz IS NULL OR (keep_until, id) > (%(until)s, %(id)s::uuid))
ORDER BY keep_until, id LIMIT %(most)s
"""

_EXPIRE_OUTPUTS = """
UPDATE assets SET expires_at = least(expires_at, now())
WHERE id IN (SELECT asset_id FROM outputs WHERE job_id = ANY(%s))
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a clean-up has come."""

    keep_until: dt.datetime
    job_id: JobId


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What one step deleted; `mark` is where the next one goes on, None when there is no more."""

    deleted: int
    mark: Mark | None


async def expire(tx: Tx, most: int = 500, why: Why | None = None) -> dict[JobId, AccountId]:
    """End jobs that waited longer than their queue time-to-live. `why` says why they wait. Gives whose they were.

    Wake `job:<id>` and `account:<id>` after the commit.
    """
    rows = await tx.execute(_OVERDUE, (most,))
    overdue = await rows.fetchall()
    waited = {JobId(row[0]): float(row[2]) for row in overdue}
    reasons: Mapping[JobId, str] = await why(tx, list(waited)) if why is not None and waited else {}
    for job_id, seconds in waited.items():
        still = reasons.get(job_id, "waiting for a server")
        error = JobError("expired", f"It waited {span(seconds)} and was still {still}.")
        await attempts.end_job(tx, job_id, JobState.EXPIRED, error)
    return {JobId(row[0]): AccountId(row[1]) for row in overdue}


async def forget_keys(tx: Tx) -> int:
    """Idempotency keys are forgotten after 24 hours."""
    rows = await tx.execute("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'")
    return rows.rowcount


async def forget_finished(tx: Tx, most: int = 500) -> int:
    """Delete jobs whose retention is over, with what belongs to them; their assets expire by themselves."""
    rows = await tx.execute(
        "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND keep_until < now() LIMIT %s FOR UPDATE SKIP LOCKED",
        (most,),
    )
    ids = [JobId(row[0]) for row in await rows.fetchall()]
    await _forget(tx, ids)
    return len(ids)


async def clean(
    tx: Tx, *, older_than: float, states: Collection[JobState], mark: Mark | None = None, most: int = 500
) -> Cleaned:
    """One step of deleting jobs that ended `older_than` seconds ago in one of `states`, with their outputs.

    Each step looks at the next `most` finished jobs. Open dead letters stay until somebody settles them.
    """
    values = {"older_than": older_than, "states": list(states), "most": most}
    values |= {"until": mark.keep_until if mark else None, "id": mark.job_id if mark else None}
    looked = await (await tx.execute(_LOOK, values)).fetchall()
    fit = [row[0] for row in looked if row[2]]
    rows = await tx.execute("SELECT id FROM jobs WHERE id = ANY(%s) FOR UPDATE SKIP LOCKED", (fit,))
    ids = [JobId(row[0]) for row in await rows.fetchall()]
    await tx.execute(_EXPIRE_OUTPUTS, (ids,))
    await _forget(tx, ids)
    return Cleaned(len(ids), Mark(looked[-1][1], JobId(looked[-1][0])) if len(looked) == most else None)


async def _forget(tx: Tx, ids: Sequence[JobId]) -> None:
    """Delete these jobs and what belongs to them."""
    for table in _OF_A_JOB:
        await tx.execute(f"DELETE FROM {table} WHERE job_id = ANY(%s)", (list(ids),))  # noqa: S608 - fixed names
    await tx.execute(_FORGET_EVENTS, (list(ids),))
    await tx.execute("DELETE FROM jobs WHERE id = ANY(%s)", (list(ids),))


async def forget_live(tx: Tx) -> None:
    """Drop progress, previews and watches of jobs that ended."""
    for table in ("job_progress", "job_previews", "job_watches"):
        await tx.execute(
            f"DELETE FROM {table} t USING jobs j WHERE j.id = t.job_id AND j.finished_at IS NOT NULL"  # noqa: S608
        )


async def partition(tx: Tx, keep_days: int) -> None:
    """Make the event log's partitions for today and the next three days; drop those older than `keep_days`.

    Events of a day that had no partition yet lie in the default one and move. The log is locked only when there is
    something to do, and for five seconds at most.
    """
    await tx.execute("SET LOCAL lock_timeout = '5s'")
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('job_events'))")
    days = [row[0] for row in await (await tx.execute(_MISSING_DAYS)).fetchall()]
    old = [row[0] for row in await (await tx.execute(_OLD_PARTITIONS, (keep_days,))).fetchall()]
    if days or old:
        await tx.execute("LOCK TABLE job_events IN ACCESS EXCLUSIVE MODE")
    for day in days:
        await _make_partition(tx, day)
    for name in old:
        await tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    await tx.execute(
        "DELETE FROM job_events_default WHERE job_day < (now() AT TIME ZONE 'UTC')::date - %s::int", (keep_days,)
    )


async def _make_partition(tx: Tx, day: dt.date) -> None:
    following = day + dt.timedelta(days=1)
    names = {
        "partition": sql.Identifier(f"job_events_{day:%Y%m%d}"),
        "day": sql.Literal(day),
        "following": sql.Literal(following),
    }
    for statement in (
        "CREATE TABLE {partition} (LIKE job_events INCLUDING DEFAULTS)",
        _MOVE_DAY,
        "ALTER TABLE job_events ATTACH PARTITION {partition} FOR VALUES FROM ({day}) TO ({following})",
    ):
        await tx.execute(sql.SQL(statement).format(**names))
