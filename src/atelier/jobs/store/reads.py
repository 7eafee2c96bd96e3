"""Reading jobs: one indexed read each; a foreign job is simply not found."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.jobs.model import (
    Event,
    Job,
    JobError,
    JobState,
    Output,
    OutputKind,
    Preview,
    Progress,
)
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId, JobId, ServerId

# `(account_id = …) IS TRUE` beside an id: the owner is part of the question and never the way to the answer. A
# plan that was made while the table was empty would else go through all jobs of the account.
COLUMNS = """
       j.id, j.account_id, j.state, j.priority, j.position, j.metadata, j.created_at, j.started_at, j.finished_at,
       j.keep_until, j.tries, j.event_seq, j.error, j.wished_priority, j.end_user, j.retry_of,
       CASE WHEN j.state = 'succeeded' THEN (
           SELECT jsonb_agg(jsonb_build_object('id', o.asset_id, 'node_id', o.node_id, 'name', o.name,
                  'kind', o.kind, 'content_type', a.content_type, 'size', b.size, 'hash', encode(a.hash, 'hex'),
                  'temporary', o.temporary, 'subfolder', o.subfolder) ORDER BY o.ordinal)
           FROM outputs o JOIN assets a ON a.id = o.asset_id JOIN blobs b ON b.hash = a.hash
           WHERE o.job_id = j.id) END,
       CASE WHEN j.state IN ('running', 'canceling') THEN
           (SELECT p.body FROM job_progress p WHERE p.job_id = j.id) END,
       coalesce(j.workflow, ''), j.batch_id
"""
"""What `job_of` takes, of `jobs j`."""

_JOB = f"SELECT {COLUMNS} FROM jobs j "  # noqa: S608 - fixed columns


async def job(tx: Tx, account_id: AccountId, job_id: JobId) -> Job | None:
    rows = await tx.execute(_JOB + "WHERE j.id = %s AND (j.account_id = %s) IS TRUE", (job_id, account_id))
    row = await rows.fetchone()
    return job_of(row) if row else None


async def at_position(tx: Tx, account_id: AccountId, position: int) -> Job | None:
    """The account's job of this position, which no other job has."""
    rows = await tx.execute(_JOB + "WHERE j.account_id = %s AND j.position = %s", (account_id, position))
    row = await rows.fetchone()
    return job_of(row) if row else None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a job is now: the server, and what it calls the prompt. `claimed_at` tells the day of its folder."""

    position: int
    server_id: ServerId
    prompt_id: uuid.UUID
    claimed_at: dt.datetime


async def whereabouts(tx: Tx, account_id: AccountId, job_id: JobId) -> Whereabouts | None:
    """Of the account's own job; None while no server has it."""
    rows = await tx.execute(
        "SELECT j.position, a.server_id, a.prompt_id, a.claimed_at FROM jobs j"
        " JOIN attempts a ON a.job_id = j.id AND a.number = j.attempt AND a.state <> 'ended'"
        " WHERE j.id = %s AND (j.account_id = %s) IS TRUE",
        (job_id, account_id),
    )
    row = await rows.fetchone()
    return Whereabouts(row[0], ServerId(row[1]), row[2], row[3].astimezone(dt.UTC)) if row else None


async def graph_text(tx: Tx, account_id: AccountId, job_id: JobId) -> str | None:
    rows = await tx.execute(
        "SELECT g.body FROM jobs j JOIN graphs g ON g.digest = j.graph_digest"
        " WHERE j.id = %s AND (j.account_id = %s) IS TRUE",
        (job_id, account_id),
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def events_after(tx: Tx, account_id: AccountId, job_id: JobId, seq: int) -> list[Event]:
    rows = await tx.execute(
        """SELECT e.seq, e.kind, e.terminal, e.data, e.created_at
           FROM jobs j JOIN job_events e ON e.job_id = j.id AND e.job_day = (j.created_at AT TIME ZONE 'UTC')::date
           WHERE j.id = %s AND (j.account_id = %s) IS TRUE AND e.seq > %s ORDER BY e.seq""",
        (job_id, account_id, seq),
    )
    return [Event(*row) for row in await rows.fetchall()]


async def progress(tx: Tx, job_id: JobId) -> Progress | None:
    row = await (await tx.execute("SELECT body FROM job_progress WHERE job_id = %s", (job_id,))).fetchone()
    return Progress(**row[0]) if row else None


async def preview_after(tx: Tx, job_id: JobId, seq: int) -> Preview | None:
    rows = await tx.execute(
        "SELECT seq, node_id, content_type, body FROM job_previews WHERE job_id = %s AND seq > %s", (job_id, seq)
    )
    row = await rows.fetchone()
    return Preview(*row) if row else None


async def waiting_by_account(tx: Tx) -> dict[AccountId, int]:
    """How many jobs of each account wait for a server, or for another job; each state is read by its own index."""
    rows = await tx.execute(
        "SELECT account_id, sum(jobs)::bigint FROM ("
        "SELECT account_id, count(*) AS jobs FROM jobs WHERE state = 'queued' GROUP BY account_id UNION ALL"
        " SELECT account_id, count(*) FROM jobs WHERE state = 'preparing' GROUP BY account_id) AS waiting"
        " GROUP BY account_id"
    )
    return dict(await rows.fetchall())


async def counts(tx: Tx) -> dict[str, int]:
    """Jobs that wait or are on servers, by stored state; read through the indexes of just these states."""
    rows = await tx.execute(
        "SELECT state, count(*) FROM jobs WHERE state = 'queued' GROUP BY state UNION ALL"
        " SELECT state, count(*) FROM jobs WHERE state IN ('claimed', 'running', 'canceling') GROUP BY state"
    )
    return dict(await rows.fetchall())


def job_of(row: Sequence[Any]) -> Job:
    """The job that a row of `COLUMNS` is."""
    return Job(
        id=JobId(row[0]),
        account_id=AccountId(row[1]),
        state=JobState(row[2]),
        priority=row[3],
        position=row[4],
        metadata=row[5],
        created_at=_utc(row[6]),
        started_at=row[7],
        finished_at=row[8],
        keep_until=row[9],
        tries=row[10],
        event_seq=row[11],
        error=JobError(**row[12]) if row[12] else None,
        outputs=tuple(output_from_json(item) for item in row[16] or ()),
        progress=Progress(**row[17]) if row[17] else None,
        wished_priority=row[13],
        end_user=row[14],
        retry_of=JobId(row[15]) if row[15] else None,
        workflow=row[18],
        batch_id=row[19],
    )


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)


def output_from_json(item: Mapping[str, Any]) -> Output:
    """The output that an `output` event or a job's row spells in JSON."""
    return Output(
        id=AssetId(uuid.UUID(item["id"])),
        node_id=item["node_id"],
        name=item["name"],
        kind=OutputKind(item["kind"]),
        content_type=item["content_type"],
        size=item["size"],
        hash=item["hash"],
        temporary=item["temporary"],
        subfolder=item.get("subfolder", ""),
    )
