"""Periodic work on jobs: waiting too long, keeping too long, partitions of the event log."""

from psycopg import sql

from atelier.jobs.model import JobError, JobState
from atelier.jobs.store import attempts
from atelier.kit.database import Tx
from atelier.kit.ids import JobId

_OVERDUE = """
SELECT id FROM jobs WHERE state = 'queued' AND wait_until < now() ORDER BY wait_until LIMIT %s
FOR UPDATE SKIP LOCKED
"""

_PARTITIONS = """
SELECT format('CREATE TABLE IF NOT EXISTS %I PARTITION OF job_events FOR VALUES FROM (%L) TO (%L)',
              'job_events_' || to_char(day, 'YYYYMMDD'), day::date, (day + interval '1 day')::date)
FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC'),
                     date_trunc('day', now() AT TIME ZONE 'UTC') + interval '3 days', interval '1 day') AS day
"""

_OLD_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'job_events'::regclass AND c.relname ~ '^job_events_[0-9]{8}$'
  AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - %s::int
"""


async def expire(tx: Tx, most: int = 500) -> list[JobId]:
    """End jobs that waited longer than their queue time-to-live. Gives their ids."""
    rows = await tx.execute(_OVERDUE, (most,))
    ids = [JobId(row[0]) for row in await rows.fetchall()]
    for job_id in ids:
        error = JobError("expired", "No server became free for it within its time in the queue.")
        await attempts.end_job(tx, job_id, JobState.EXPIRED, error)
    return ids


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
    ids = [row[0] for row in await rows.fetchall()]
    for table in (
        "outputs",
        "job_inputs",
        "holds",
        "idempotency_keys",
        "job_events",
        "job_progress",
        "job_previews",
    ):
        await tx.execute(f"DELETE FROM {table} WHERE job_id = ANY(%s)", (ids,))  # noqa: S608 - fixed names
    await tx.execute("DELETE FROM jobs WHERE id = ANY(%s)", (ids,))
    return len(ids)


async def forget_live(tx: Tx) -> None:
    """Drop progress, previews and watches of jobs that ended."""
    for table in ("job_progress", "job_previews", "job_watches"):
        await tx.execute(
            f"DELETE FROM {table} t USING jobs j WHERE j.id = t.job_id AND j.finished_at IS NOT NULL"  # noqa: S608
        )


async def partition(tx: Tx, keep_days: int) -> None:
    """Make the event log's partitions for today and the next three days; drop those older than `keep_days`."""
    await tx.execute("SET LOCAL lock_timeout = '5s'")
    for (statement,) in await (await tx.execute(_PARTITIONS)).fetchall():
        await tx.execute(statement)
    for (name,) in await (await tx.execute(_OLD_PARTITIONS, (keep_days,))).fetchall():
        await tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
