"""One event of a job as those need it who tell others of it: what it was, whose, and who asked to be told."""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.jobs.model import JobState
from atelier.jobs.recipe import Webhook
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

_EVENT = """
SELECT j.account_id, e.data ->> 'state', e.created_at, j.batch_id, r.webhook, b.webhook
FROM jobs j
JOIN job_events e ON e.job_day = (j.created_at AT TIME ZONE 'UTC')::date AND e.job_id = j.id AND e.seq = %(seq)s
LEFT JOIN LATERAL (SELECT webhook FROM job_recipes WHERE job_id = %(job)s LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT webhook FROM batches WHERE id = j.batch_id LIMIT 1) b ON true
WHERE j.id = %(job)s
"""


@dataclass(frozen=True, slots=True)
class Announced:
    """`webhook` came with the job itself, `batch_webhook` with its batch."""

    job_id: JobId
    account_id: AccountId
    state: JobState
    at: dt.datetime
    batch_id: uuid.UUID | None
    webhook: Webhook | None
    batch_webhook: Webhook | None


async def event(tx: Tx, job_id: JobId, seq: int) -> Announced | None:
    """None: the job, or the log of that day, is gone, or the event says nothing of a state."""
    row = await (await tx.execute(_EVENT, {"job": job_id, "seq": seq})).fetchone()
    if row is None or row[1] is None:
        return None
    return Announced(
        job_id=job_id,
        account_id=AccountId(row[0]),
        state=JobState(row[1]),
        at=row[2],
        batch_id=row[3],
        webhook=_webhook(row[4]),
        batch_webhook=_webhook(row[5]),
    )


def _webhook(said: Mapping[str, Any] | None) -> Webhook | None:
    return Webhook(said["url"], tuple(said["events"]), said["secret"]) if said else None
