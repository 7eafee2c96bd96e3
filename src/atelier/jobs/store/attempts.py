"""How attempts move on and jobs end. Every statement asks for the attempt's fence; one changed row is the proof.

Locks are taken in one order everywhere: lease, job, attempt.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from atelier.jobs.model import Claim, Counters, Failed, JobError, JobState, Made, Outcome
from atelier.jobs.prompt import Report
from atelier.kit.database import Tx
from atelier.kit.ids import JobId
from atelier.kit.storable import json_text

# Conditions are written so that each table is entered by its primary key, also by a plan that was made while the
# tables were empty and any index looked as good.

# Losing this mark with the server costs nothing (adoption asks the ComfyUI server anyway), so its commit does not
# wait for the disk.
_RUNNING = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
locked AS (
    SELECT id FROM jobs, quick WHERE id = %(job)s AND finished_at IS NULL FOR UPDATE OF jobs
), attempt AS (
    UPDATE attempts SET state = 'running', started_at = now() FROM locked
    WHERE job_id = locked.id AND job_id = %(job)s AND number = %(number)s
      AND fence = %(fence)s AND attempts.state = 'claimed'
    RETURNING job_id
), job AS (
    UPDATE jobs j SET state = 'running', started_at = coalesce(j.started_at, now()), event_seq = j.event_seq + 1
    FROM attempt a WHERE j.id = a.job_id AND j.state = 'claimed'
    RETURNING j.id, j.event_seq, j.created_at
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, data)
    SELECT (created_at AT TIME ZONE 'UTC')::date, id, event_seq, 'status', '{"state": "running"}' FROM job
)
SELECT job_id FROM attempt
"""

_SUCCESS = """
WITH locked AS (
    SELECT id FROM jobs WHERE id = %(job)s AND state IN ('claimed', 'running') FOR UPDATE
), attempt AS (
    UPDATE attempts SET state = 'ended', outcome = 'succeeded', ended_at = now(),
                        started_at = coalesce(started_at, now() - make_interval(secs => %(ran)s))
    FROM locked
    WHERE job_id = locked.id AND job_id = %(job)s AND number = %(number)s
      AND fence = %(fence)s AND attempts.state <> 'ended'
    RETURNING job_id
), job AS (
    UPDATE jobs j SET state = 'succeeded', secrets = NULL, finished_at = now(), started_at = coalesce(
                          j.started_at, greatest(now() - make_interval(secs => %(ran)s), j.created_at)),
                      event_seq = j.event_seq + %(count)s + 1
    FROM attempt a WHERE j.id = a.job_id
    RETURNING j.id, j.account_id, j.event_seq, j.keep_until, (j.created_at AT TIME ZONE 'UTC')::date AS day
), made AS (
    SELECT m.*, decode(m.hash, 'hex') AS digest
    FROM jsonb_to_recordset(%(outputs)s) AS m(ordinal int, id uuid, node_id text, name text, kind text,
         content_type text, size bigint, hash text, temporary boolean, subfolder text, note text)
), blob AS (
    UPDATE blobs SET marked_at = NULL
    WHERE hash = ANY(ARRAY(SELECT digest FROM made, job)) AND coalesce(marked_at, '-infinity') > '-infinity'
), asset AS (
    INSERT INTO assets (id, account_id, hash, content_type, file_path, expires_at, job_id)
    SELECT made.id, job.account_id, digest, content_type, name, job.keep_until, job.id FROM made, job
), output AS (
    INSERT INTO outputs (asset_id, job_id, attempt, ordinal, node_id, name, kind, temporary, subfolder)
    SELECT made.id, job.id, %(number)s, ordinal, node_id, name, kind, temporary, subfolder FROM made, job
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, terminal, data)
    SELECT day, job.id, event_seq - %(count)s - 1 + ordinal, 'output', false,
           jsonb_build_object('id', made.id, 'node_id', node_id, 'name', name, 'kind', kind,
                              'content_type', content_type, 'size', size, 'hash', hash, 'temporary', temporary)
           || jsonb_strip_nulls(jsonb_build_object('note', note))
    FROM made, job
    UNION ALL
    SELECT day, id, event_seq, 'status', true, '{"state": "succeeded"}' FROM job
), hold AS (
    UPDATE holds SET state = 'captured', captured = amount, settled_at = now() FROM job
    WHERE holds.job_id = job.id AND holds.state = 'held'
)
"""

# The report of a native job is a part of the same statement; the other jobs' statement knows nothing of reports.
_REPORT = """
, report AS (
    INSERT INTO native_reports (job_id, outputs, messages, meta)
    SELECT id, %(shown)s::json, %(messages)s::json, %(meta)s::json FROM job
)
"""
_SUCCEEDED = "SELECT id FROM job"
_SUCCEED = _SUCCESS + _SUCCEEDED
_SUCCEED_AND_REPORT = _SUCCESS + _REPORT + _SUCCEEDED

_SAVE_REPORT = """
INSERT INTO native_reports (job_id, outputs, messages, meta)
VALUES (%(job)s, %(shown)s::json, %(messages)s::json, %(meta)s::json)
ON CONFLICT (job_id) DO NOTHING
"""

_LOCK_ATTEMPT = """
SELECT 1 FROM attempts
WHERE job_id = %s AND number = %s AND fence = %s AND state <> 'ended' FOR UPDATE
"""

_LOCK_JOB = """
SELECT state, tries, server_deaths, dispatcher_losses FROM jobs WHERE id = %s FOR UPDATE
"""

_END_ATTEMPT = """
UPDATE attempts SET state = 'ended', outcome = %s, evidence = %s, ended_at = now()
WHERE job_id = %s AND number = %s
"""

_REQUEUE = """
WITH job AS (
    UPDATE jobs SET state = 'queued', tries = %(tries)s, server_deaths = %(deaths)s,
           dispatcher_losses = %(losses)s, not_before = now() + make_interval(secs => %(delay)s),
           avoid = CASE WHEN %(avoid)s::text = ANY(avoid) THEN avoid
                        ELSE array_remove(array_append(avoid, %(avoid)s::text), NULL) END,
           vram_over = greatest(vram_over, %(vram)s), event_seq = event_seq + %(events)s
    WHERE id = %(job)s RETURNING id, event_seq, (created_at AT TIME ZONE 'UTC')::date AS day
)
INSERT INTO job_events (job_day, job_id, seq, kind, data)
SELECT day, id, event_seq, 'retry', %(data)s FROM job WHERE %(events)s = 1
"""

_CANCELING = """
WITH job AS (
    UPDATE jobs SET state = 'canceling', event_seq = event_seq + 1
    WHERE id = %s AND state IN ('claimed', 'running')
    RETURNING id, event_seq, (created_at AT TIME ZONE 'UTC')::date AS day
)
INSERT INTO job_events (job_day, job_id, seq, kind, data)
SELECT day, id, event_seq, 'status', '{"state": "canceling"}' FROM job
"""

_END_JOB = """
WITH job AS (
    UPDATE jobs SET state = %(state)s, error = %(error)s, secrets = NULL, finished_at = now(),
           event_seq = event_seq + 1,
           tries = coalesce(%(tries)s, tries), server_deaths = coalesce(%(deaths)s, server_deaths),
           dispatcher_losses = coalesce(%(losses)s, dispatcher_losses)
    WHERE id = %(job)s AND finished_at IS NULL
    RETURNING id, event_seq, (created_at AT TIME ZONE 'UTC')::date AS day
), hold AS (
    UPDATE holds SET state = 'released', settled_at = now() FROM job
    WHERE holds.job_id = job.id AND holds.state = 'held'
)
INSERT INTO job_events (job_day, job_id, seq, kind, terminal, data)
SELECT day, id, event_seq, 'status', true, %(data)s FROM job
"""


NOBODY = Failed()

_BURY = """
INSERT INTO dead_letters (job_id, account_id, code)
SELECT id, account_id, %(code)s FROM jobs WHERE id = %(job)s
ON CONFLICT (job_id) DO NOTHING
"""


async def running(tx: Tx, claim: Claim) -> bool:
    """The server began it. False when the attempt is no longer ours."""
    rows = await tx.execute(_RUNNING, _key(claim))
    return rows.rowcount == 1


async def succeed(
    tx: Tx, claim: Claim, outputs: Sequence[Made], ran: float = 0.0, report: Report | None = None
) -> bool:
    """End attempt and job with their outputs; where its start was not written down, it began `ran` seconds ago.

    False, and nothing written, when the attempt is not ours any more or the job is being canceled.
    """
    made = [_made(output, ordinal) for ordinal, output in enumerate(outputs, 1)]
    given = {**_key(claim), "count": len(made), "outputs": json_text(made), "ran": ran}
    if report is None:
        rows = await tx.execute(_SUCCEED, given)
    else:
        rows = await tx.execute(_SUCCEED_AND_REPORT, {**given, **_reported(report)})
    return await rows.fetchone() is not None


async def save_report(tx: Tx, job_id: JobId, report: Report) -> None:
    """What a native client reads of a run that made nothing."""
    await tx.execute(_SAVE_REPORT, {"job": job_id, **_reported(report)})


async def lock_attempt(tx: Tx, claim: Claim) -> bool:
    """Lock the live attempt under its fence; False when it is not ours any more."""
    rows = await tx.execute(_LOCK_ATTEMPT, (claim.job_id, claim.number, claim.fence))
    return await rows.fetchone() is not None


async def lock_job(tx: Tx, job_id: JobId) -> tuple[JobState, Counters] | None:
    row = await (await tx.execute(_LOCK_JOB, (job_id,))).fetchone()
    return (JobState(row[0]), Counters(row[1], row[2], row[3])) if row else None


async def end_attempt(tx: Tx, claim: Claim, outcome: Outcome, evidence: dict[str, Any] | None) -> None:
    await tx.execute(_END_ATTEMPT, (outcome, Jsonb(evidence) if evidence else None, claim.job_id, claim.number))


async def requeue(
    tx: Tx,
    job_id: JobId,
    counters: Counters,
    *,
    delay: float = 0.0,
    told: dict[str, Any] | None = None,
    failed: Failed = NOBODY,
) -> None:
    """Back to the queue at its old place, not before `delay` seconds; `told` becomes a `retry` event."""
    await tx.execute(
        _REQUEUE,
        {
            **_counters(counters),
            "job": job_id,
            "avoid": failed.server_id,
            "vram": failed.vram,
            "delay": delay,
            "events": int(told is not None),
            "data": Jsonb(told or {}),
        },
    )


async def give_up(tx: Tx, job_id: JobId, error: JobError, counters: Counters | None = None) -> None:
    """The end of a job for a reason that is not its graph's: it fails, and lies with the dead letters."""
    await end_job(tx, job_id, JobState.FAILED, error, counters)
    await tx.execute(_BURY, {"job": job_id, "code": error.code})


async def ask_to_cancel(tx: Tx, job_id: JobId) -> None:
    """From now on the job can only end canceled. The caller holds the job's lock."""
    await tx.execute(_CANCELING, (job_id,))


async def end_job(
    tx: Tx, job_id: JobId, state: JobState, error: JobError | None = None, counters: Counters | None = None
) -> None:
    """The end of a job that made nothing: its hold is released, its terminal event written."""
    told = {"state": state} | ({"error": error.as_json()} if error else {})
    await tx.execute(
        _END_JOB,
        {
            **(_counters(counters) if counters else {"tries": None, "deaths": None, "losses": None}),
            "job": job_id,
            "state": state,
            "error": Jsonb(error.as_json()) if error else None,
            "data": Jsonb(told),
        },
    )


def _key(claim: Claim) -> dict[str, Any]:
    return {"job": claim.job_id, "number": claim.number, "fence": claim.fence}


def _counters(counters: Counters) -> dict[str, int]:
    return {
        "tries": counters.tries,
        "deaths": counters.server_deaths,
        "losses": counters.dispatcher_losses,
    }


def _reported(report: Report) -> dict[str, str]:
    return {
        "shown": json_text(report.outputs),
        "messages": json_text(report.messages),
        "meta": json_text(report.meta),
    }


def _made(made: Made, ordinal: int) -> dict[str, Any]:
    return {
        "ordinal": ordinal,
        "id": str(made.id),
        "node_id": made.node_id,
        "name": made.name,
        "kind": made.kind,
        "content_type": made.content_type,
        "size": made.size,
        "hash": made.hash.hex(),
        "temporary": made.temporary,
        "subfolder": made.subfolder,
    } | ({"note": made.note} if made.note else {})
