"""The SQL of batches: a batch knows its jobs by their `batch_id`, and their places by their recipes."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from atelier.jobs.model import Job, JobState
from atelier.jobs.recipe import Webhook
from atelier.jobs.store import reads
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

_INSERT = """
INSERT INTO batches (id, account_id, end_user, workflow, total, refused, webhook, keep_until)
VALUES (%(id)s, %(account)s, %(end_user)s, %(workflow)s, %(total)s, %(refused)s, %(webhook)s,
        now() + make_interval(secs => %(retention)s))
"""

_COLUMNS = """
b.id, b.account_id, b.end_user, b.workflow, b.total, b.refused, b.webhook, b.created_at, b.keep_until,
c.states, c.finished_at, c.progress
"""

# Of each batch by its own index; what runs has written how far it is.
_COUNTED = """
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(s.state, s.jobs), '{}') AS states, max(s.finished_at) AS finished_at,
           coalesce(sum(s.progress), 0)::float8 AS progress
    FROM (SELECT j.state, count(*) AS jobs, max(j.finished_at) AS finished_at,
                 sum(CASE WHEN j.state = 'running' THEN (
                     SELECT (p.body ->> 'value')::float8 FROM job_progress p
                     WHERE p.job_id = j.id) END) AS progress
          FROM jobs j WHERE j.batch_id = b.id GROUP BY j.state) s
) c
"""

_ONE = f"SELECT {_COLUMNS} FROM batches b {_COUNTED} WHERE b.id = %s"  # noqa: S608 - fixed columns

_OWN = f"{_ONE} AND (b.account_id = %s) IS TRUE"

_PAGE = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM batches WHERE account_id = %(account)s AND (%(before)s::uuid IS NULL OR (created_at, id) < (
        SELECT o.created_at, o.id FROM batches o WHERE o.id = %(before)s AND (o.account_id = %(account)s) IS TRUE))
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s) b {_COUNTED}
ORDER BY b.created_at DESC, b.id DESC
"""  # noqa: S608 - fixed columns

# The page first, then its jobs: outputs are looked up for those alone.
_ITEMS = f"""
WITH page AS MATERIALIZED (
    SELECT j.id, r.batch_index, r.cached, r.seed, r.params FROM jobs j
    CROSS JOIN LATERAL (SELECT * FROM job_recipes WHERE job_id = j.id LIMIT 1) r
    WHERE j.batch_id = %(batch)s AND (j.account_id = %(account)s) IS TRUE AND r.batch_index >= %(start)s
    ORDER BY r.batch_index LIMIT %(limit)s
)
SELECT page.batch_index, page.cached, page.seed, page.params, {reads.COLUMNS}
FROM page CROSS JOIN LATERAL (SELECT * FROM jobs WHERE id = page.id LIMIT 1) j ORDER BY page.batch_index
"""  # noqa: S608 - fixed columns

_CANCEL = """
WITH locked AS MATERIALIZED (
    SELECT j.id, j.state FROM jobs j
    WHERE j.batch_id = %(batch)s AND (j.account_id = %(account)s) IS TRUE
      AND j.state IN ('preparing', 'queued', 'claimed', 'running') ORDER BY j.id FOR UPDATE
), job AS (
    UPDATE jobs j SET
        state = CASE WHEN l.state IN ('preparing', 'queued') THEN 'canceled' ELSE 'canceling' END,
        finished_at = CASE WHEN l.state IN ('preparing', 'queued') THEN now() END,
        secrets = CASE WHEN l.state IN ('preparing', 'queued') THEN NULL ELSE j.secrets END,
        event_seq = j.event_seq + 1
    FROM locked l WHERE j.id = l.id
    RETURNING j.id, j.state, j.event_seq, (j.created_at AT TIME ZONE 'UTC')::date AS day
), hold AS (
    UPDATE holds SET state = 'released', settled_at = now() FROM job
    WHERE holds.job_id = job.id AND holds.state = 'held' AND job.state = 'canceled'
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, terminal, data)
    SELECT day, id, event_seq, 'status', state = 'canceled', jsonb_build_object('state', state) FROM job
)
SELECT id FROM job
"""

# Told once: in the transaction that writes the messages.
_ENDED = """
UPDATE batches b SET ended_at = now()
WHERE b.id = %s AND b.ended_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.batch_id = b.id AND j.finished_at IS NULL)
"""

_FORGET = """
DELETE FROM batches WHERE id IN (
    SELECT b.id FROM batches b WHERE b.keep_until < now()
      AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.batch_id = b.id)
    ORDER BY b.keep_until LIMIT %s FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item that became no job; `error` has code, message and what the refusal adds."""

    index: int
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What is written with its jobs. `total` counts all items, `retention` is in seconds."""

    id: uuid.UUID
    account_id: AccountId
    end_user: str
    workflow: str
    total: int
    refused: tuple[RefusedItem, ...]
    webhook: Webhook | None
    retention: float


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as its jobs stand. `states` counts them by stored state; those deleted meanwhile are not among them.

    `finished_at`: when the last of those that ended did. `running`: how far those that run are (0 to 1), summed.
    """

    id: uuid.UUID
    account_id: AccountId
    end_user: str
    workflow: str
    total: int
    refused: tuple[RefusedItem, ...]
    webhook: Webhook | None
    created_at: dt.datetime
    keep_until: dt.datetime
    states: Mapping[JobState, int]
    finished_at: dt.datetime | None
    running: float


@dataclass(frozen=True, slots=True)
class Item:
    """One job of a batch, and its place in the request. `cached`: it took an earlier job's files."""

    index: int
    job: Job
    cached: bool
    seed: int | None
    params: Mapping[str, Any]


async def insert(tx: Tx, batch: NewBatch) -> None:
    await tx.execute(
        _INSERT,
        {
            "id": batch.id,
            "account": batch.account_id,
            "end_user": batch.end_user,
            "workflow": batch.workflow,
            "total": batch.total,
            "refused": Jsonb([{"index": one.index, "error": dict(one.error)} for one in batch.refused]),
            "webhook": Jsonb(batch.webhook.as_json()) if batch.webhook else None,
            "retention": batch.retention,
        },
    )


async def of_account(tx: Tx, account_id: AccountId, batch_id: uuid.UUID) -> Batch | None:
    row = await (await tx.execute(_OWN, (batch_id, account_id))).fetchone()
    return _batch(row) if row else None


async def any_account(tx: Tx, batch_id: uuid.UUID) -> Batch | None:
    """Whosever it is: for what tells its owner of it."""
    row = await (await tx.execute(_ONE, (batch_id,))).fetchone()
    return _batch(row) if row else None


async def page(tx: Tx, account_id: AccountId, *, limit: int, before: uuid.UUID | None) -> list[Batch]:
    """Newest first."""
    rows = await tx.execute(_PAGE, {"account": account_id, "limit": limit, "before": before})
    return [_batch(row) for row in await rows.fetchall()]


async def items(tx: Tx, account_id: AccountId, batch_id: uuid.UUID, *, start: int, limit: int) -> list[Item]:
    """Its jobs from place `start` on."""
    given = {"batch": batch_id, "account": account_id, "start": start, "limit": limit}
    rows = await tx.execute(_ITEMS, given)
    return [
        Item(row[0], reads.job_of(row[4:]), row[1], None if row[2] is None else int(row[2]), row[3])
        for row in await rows.fetchall()
    ]


async def cancel(tx: Tx, account_id: AccountId, batch_id: uuid.UUID) -> list[JobId]:
    """What waits is canceled, what a server has is about to be. Gives those that were asked to end."""
    rows = await tx.execute(_CANCEL, {"batch": batch_id, "account": account_id})
    return [JobId(row[0]) for row in await rows.fetchall()]


async def end(tx: Tx, batch_id: uuid.UUID) -> bool:
    """Whether all its jobs have ended, and nobody was told so before."""
    return (await tx.execute(_ENDED, (batch_id,))).rowcount == 1


async def forget(tx: Tx, most: int = 500) -> int:
    """Delete some of those that were kept long enough, and whose jobs are gone. Gives how many."""
    return (await tx.execute(_FORGET, (most,))).rowcount


def _batch(row: Sequence[Any]) -> Batch:
    webhook = row[6]
    return Batch(
        id=row[0],
        account_id=AccountId(row[1]),
        end_user=row[2],
        workflow=row[3],
        total=row[4],
        refused=tuple(RefusedItem(one["index"], one["error"]) for one in row[5]),
        webhook=Webhook(webhook["url"], tuple(webhook["events"]), webhook["secret"]) if webhook else None,
        created_at=row[7],
        keep_until=row[8],
        states={JobState(state): jobs for state, jobs in row[9].items()},
        finished_at=row[10],
        running=row[11],
    )
