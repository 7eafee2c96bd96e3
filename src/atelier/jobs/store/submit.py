"""A submit is one statement: idempotency key, graph, job, hold, first event and inputs stand or fall together."""

from typing import Any

from psycopg.types.json import Jsonb

from atelier.jobs.model import Job, JobState, NewJob
from atelier.kit.database import Tx

# A graph that is marked for deletion is named again: that takes the mark away or, where the deletion was first,
# puts the graph back (atelier.jobs.store.unnamed). One without a mark is only looked at, its row is not locked.
_SUBMIT = """
WITH key AS (
    INSERT INTO idempotency_keys (account_id, end_user, dialect, key, body_hash, job_id)
    SELECT %(account)s, %(end_user)s, %(dialect)s, %(key)s::text, %(body_hash)s, %(id)s
    WHERE %(key)s::text IS NOT NULL
    ON CONFLICT (account_id, end_user, dialect, key) DO UPDATE
        SET body_hash = excluded.body_hash, job_id = excluded.job_id, created_at = now()
        WHERE idempotency_keys.created_at < now() - interval '24 hours'
    RETURNING 1
), graph AS (
    INSERT INTO graphs (digest, body) SELECT %(graph_digest)s, %(graph)s
    WHERE NOT EXISTS (SELECT 1 FROM graphs WHERE digest = %(graph_digest)s AND marked_at IS NULL)
      AND (%(key)s::text IS NULL OR EXISTS (SELECT 1 FROM key))
    ON CONFLICT (digest) DO UPDATE SET marked_at = NULL WHERE graphs.marked_at IS NOT NULL
), job AS (
    INSERT INTO jobs (id, account_id, end_user, dialect, native_prompt_id, priority, graph_digest, requirement_id,
                      lane, shape, metadata, secrets, wished_priority, run_timeout, retry_of, wait_until,
                      keep_until, event_seq)
    SELECT %(id)s, %(account)s, %(end_user)s, %(dialect)s, %(native)s, %(priority)s, %(graph_digest)s,
           %(requirement)s, %(lane)s, %(shape)s, %(metadata)s, %(secrets)s, %(wished)s, %(run_timeout)s,
           %(retry_of)s, now() + make_interval(secs => %(queue_ttl)s),
           now() + make_interval(secs => %(retention)s), 1
    WHERE %(key)s::text IS NULL OR EXISTS (SELECT 1 FROM key)
    RETURNING id, created_at, keep_until, position
), hold AS (
    INSERT INTO holds (job_id, account_id, amount) SELECT id, %(account)s, %(price)s FROM job
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, data)
    SELECT (created_at AT TIME ZONE 'UTC')::date, id, 1, 'status', '{"state": "queued"}' FROM job
), inputs AS (
    INSERT INTO job_inputs (job_id, asset_id)
    SELECT job.id, asset FROM job, unnest(%(inputs)s::uuid[]) AS asset
)
SELECT created_at, keep_until, position FROM job
"""


async def submit(tx: Tx, job: NewJob) -> Job | None:
    """Write the job. None, and nothing written, when its idempotency key is taken."""
    key = job.idempotency
    rows = await tx.execute(
        _SUBMIT,
        {
            "id": job.id,
            "account": job.account_id,
            "end_user": job.end_user,
            "dialect": job.dialect,
            "key": key.key if key else None,
            "body_hash": key.body_hash if key else b"",
            "native": job.native_prompt_id,
            "priority": job.priority,
            "graph": job.graph_text,
            "graph_digest": job.graph_digest,
            "requirement": job.requirement_id,
            "lane": job.lane,
            "shape": job.shape,
            "metadata": Jsonb(dict(job.metadata)),
            "secrets": Jsonb(dict(job.secrets)) if job.secrets else None,
            "wished": job.wished_priority,
            "run_timeout": job.run_timeout,
            "retry_of": job.retry_of,
            "queue_ttl": job.queue_ttl,
            "retention": job.retention,
            "price": job.price,
            "inputs": list(job.inputs),
        },
    )
    row = await rows.fetchone()
    return _accepted(job, row) if row else None


def _accepted(job: NewJob, row: tuple[Any, ...]) -> Job:
    created_at, keep_until, position = row
    return Job(
        id=job.id,
        account_id=job.account_id,
        state=JobState.QUEUED,
        priority=job.priority,
        position=position,
        metadata=job.metadata,
        created_at=created_at,
        started_at=None,
        finished_at=None,
        keep_until=keep_until,
        tries=0,
        event_seq=1,
        error=None,
        outputs=(),
        progress=None,
        wished_priority=job.wished_priority,
        end_user=job.end_user,
        retry_of=job.retry_of,
    )
