"""All events of an account as one stream, read by what one snapshot saw and the one before did not."""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.jobs.model import JobState, Progress
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId


@dataclass(frozen=True, slots=True)
class Key:
    """Where an event stands among those that came with one snapshot; `rank` is a transaction."""

    rank: int
    job_id: JobId
    seq: int


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of one job, and what people ask of the job first. `data` as in `Event`."""

    key: Key
    account_id: AccountId
    kind: str
    terminal: bool
    data: Mapping[str, Any]
    at: dt.datetime
    workflow: str
    batch_id: uuid.UUID | None
    end_user: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whose jobs, and which of them. None: whichever."""

    accounts: Collection[AccountId]
    end_user: str | None = None
    workflow: str | None = None
    batch_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A job that a server has, and how far it is."""

    job_id: JobId
    account_id: AccountId
    workflow: str
    batch_id: uuid.UUID | None
    end_user: str
    state: JobState
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a batch stands: jobs by how they ended, those that go on, and items that were not accepted."""

    batch_id: uuid.UUID
    workflow: str
    total: int
    refused: int
    live: int
    ended: Mapping[str, int]


_NEW = """
SELECT e.account_id, e.job_id, e.seq, e.kind, e.terminal, e.data, e.created_at,
       max(e.tx) OVER (PARTITION BY e.job_id ORDER BY e.seq) AS rank
FROM job_events e
WHERE e.account_id = ANY(%(accounts)s)
  AND e.tx >= pg_snapshot_xmin(%(seen)s::pg_snapshot) AND e.tx < pg_snapshot_xmax(now.seen)
  AND NOT pg_visible_in_snapshot(e.tx, %(seen)s::pg_snapshot) AND pg_visible_in_snapshot(e.tx, now.seen)
"""

# A job's own events are in the order of their numbers, whichever transaction began first: who saw one of them
# committed has seen those before it, as each was numbered under the job's lock.
_READ = f"""
SELECT now.seen::text, told.* FROM (SELECT coalesce(%(until)s::pg_snapshot, pg_current_snapshot()) AS seen) now
LEFT JOIN LATERAL (
    SELECT new.rank::text, new.job_id, new.seq, new.account_id, new.kind, new.terminal, new.data, new.created_at,
           coalesce(j.workflow, ''), j.batch_id, j.end_user
    FROM ({_NEW}) new JOIN jobs j ON j.id = new.job_id
    WHERE (%(rank)s::text IS NULL
           OR (new.rank, new.job_id, new.seq) > (%(rank)s::text::xid8, %(job)s::uuid, %(seq)s::int))
      AND (%(end_user)s::text IS NULL OR j.end_user = %(end_user)s::text)
      AND (%(workflow)s::text IS NULL OR j.workflow = %(workflow)s::text)
      AND (%(batch)s::uuid IS NULL OR j.batch_id = %(batch)s::uuid)
    ORDER BY new.rank, new.job_id, new.seq LIMIT %(limit)s
) told ON true
"""  # noqa: S608 - fixed parts

_BACKLOG = f"""
SELECT pg_snapshot_xmax(now.seen) >= pg_snapshot_xmax(%(seen)s::pg_snapshot),
       (SELECT count(*) FROM (SELECT FROM ({_NEW}) new LIMIT %(limit)s) few)
FROM (SELECT pg_current_snapshot() AS seen) now
"""  # noqa: S608 - fixed parts

_RUNNING = """
SELECT j.id, j.account_id, coalesce(j.workflow, ''), j.batch_id, j.end_user, j.state, p.body
FROM jobs j LEFT JOIN job_progress p ON p.job_id = j.id
WHERE j.account_id = ANY(%(accounts)s) AND j.state IN ('claimed', 'running', 'canceling')
  AND (%(end_user)s::text IS NULL OR j.end_user = %(end_user)s::text)
  AND (%(workflow)s::text IS NULL OR j.workflow = %(workflow)s::text)
  AND (%(batch)s::uuid IS NULL OR j.batch_id = %(batch)s::uuid)
"""

_STANDING = """
SELECT b.id, b.workflow, b.total, jsonb_array_length(b.refused), count(j.id) FILTER (WHERE j.finished_at IS NULL),
       count(*) FILTER (WHERE j.state = 'succeeded'), count(*) FILTER (WHERE j.state = 'failed'),
       count(*) FILTER (WHERE j.state = 'canceled'), count(*) FILTER (WHERE j.state = 'expired')
FROM batches b JOIN jobs j ON j.batch_id = b.id
WHERE b.id = ANY(%s::uuid[]) GROUP BY b.id
"""


async def snapshot(tx: Tx) -> str:
    """What is committed now, as PostgreSQL writes it: `xmin:xmax:those,between,that,are,not`."""
    row = await (await tx.execute("SELECT pg_current_snapshot()::text")).fetchone()
    return str(row[0]) if row else ""


async def read(
    tx: Tx, chosen: Chosen, seen: str, *, until: str | None, after: Key | None, limit: int
) -> tuple[str, list[Happening]]:
    """What `seen` did not see and `until` (None: now) does, behind `after`; and what was seen."""
    rows = await tx.execute(
        _READ,
        {
            **_choice(chosen),
            "seen": seen,
            "until": until,
            "rank": str(after.rank) if after else None,
            "job": after.job_id if after else None,
            "seq": after.seq if after else None,
            "limit": limit,
        },
    )
    found = await rows.fetchall()
    return found[0][0], [_happening(row[1:]) for row in found if row[1] is not None]


async def backlog(tx: Tx, chosen: Chosen, seen: str, most: int) -> int | None:
    """How many events there are that `seen` did not see, `most` at most. None: no snapshot of this database's."""
    rows = await tx.execute(_BACKLOG, {"accounts": list(chosen.accounts), "seen": seen, "limit": most})
    row = await rows.fetchone()
    return int(row[1]) if row and row[0] else None


async def running(tx: Tx, chosen: Chosen) -> list[Running]:
    rows = await tx.execute(_RUNNING, _choice(chosen))
    return [_running(row) for row in await rows.fetchall()]


async def standing(tx: Tx, batch_ids: Collection[uuid.UUID]) -> list[Standing]:
    """The caller has checked whose batches they are."""
    rows = await tx.execute(_STANDING, (list(batch_ids),))
    return [_standing(row) for row in await rows.fetchall()]


async def everybody(tx: Tx) -> list[AccountId]:
    """All accounts, for those who may see everybody's jobs."""
    return [AccountId(row[0]) for row in await (await tx.execute("SELECT id FROM accounts")).fetchall()]


def _choice(chosen: Chosen) -> dict[str, Any]:
    return {
        "accounts": list(chosen.accounts),
        "end_user": chosen.end_user,
        "workflow": chosen.workflow,
        "batch": chosen.batch_id,
    }


def _happening(row: Sequence[Any]) -> Happening:
    rank, job_id, seq, account_id, kind, terminal, data, at, workflow, batch_id, end_user = row
    return Happening(
        Key(int(rank), JobId(job_id), seq),
        AccountId(account_id),
        kind,
        terminal,
        data,
        at,
        workflow,
        batch_id,
        end_user,
    )


def _running(row: Sequence[Any]) -> Running:
    job_id, account_id, workflow, batch_id, end_user, state, progress = row
    shown = Progress(**progress) if progress else None
    return Running(JobId(job_id), AccountId(account_id), workflow, batch_id, end_user, JobState(state), shown)


def _standing(row: Sequence[Any]) -> Standing:
    batch_id, workflow, total, refused, live, *ended = row
    states = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED)
    return Standing(batch_id, workflow, total, refused, live, dict(zip(states, ended, strict=True)))
