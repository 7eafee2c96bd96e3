"""An account's jobs by what people ask for: each question goes through an index of its own, newest first."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from atelier.jobs.model import Job, JobState
from atelier.jobs.store.reads import COLUMNS, job_of
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId

SLACK_SECONDS = 600.0
"""So long at most lies between the making of a job's id and the commit that accepts it."""

_NEVER = -1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing shows: all that is said must fit. `states` are stored states, empty: any.

    `since` and `until` are about the time of acceptance, both inclusive.
    """

    states: Sequence[JobState] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    workflow: str | None = None
    batch_id: uuid.UUID | None = None
    end_user: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


# Whose they are goes with every question; which of these is the key is in its words.
_BY_BATCH: LiteralString = "j.batch_id = %(batch)s AND (j.account_id = %(account)s) IS TRUE"
_BY_WORKFLOW: LiteralString = "j.account_id = %(account)s AND j.workflow = %(workflow)s"
_BY_END_USER: LiteralString = "j.account_id = %(account)s AND j.end_user = %(end_user)s AND j.end_user <> ''"
_BY_ACCOUNT: LiteralString = "j.account_id = %(account)s"

_REST: LiteralString = """
  AND (%(before)s::bigint IS NULL OR j.position < %(before)s)
  AND (%(first)s::bigint IS NULL OR j.position >= %(first)s)
  AND (%(last)s::bigint IS NULL OR j.position <= %(last)s)
  AND (%(since)s::timestamptz IS NULL OR j.created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR j.created_at <= %(until)s)
  AND (%(states)s::text[] = '{}' OR j.state = ANY(%(states)s::text[]))
  AND (%(labels)s::jsonb = '{}' OR j.metadata @> %(labels)s::jsonb)
  AND (%(workflow)s::text IS NULL OR (j.workflow = %(workflow)s) IS TRUE)
  AND (%(end_user)s::text IS NULL OR (j.end_user = %(end_user)s) IS TRUE)
ORDER BY j.position DESC LIMIT %(limit)s
"""

# Ids sort by when they were made, and positions by when jobs were accepted: so the primary key tells from which
# place on a time began.
_FIRST = "SELECT position FROM jobs WHERE id >= %s ORDER BY id LIMIT 1"
_LAST = "SELECT position FROM jobs WHERE id < %s ORDER BY id DESC LIMIT 1"


async def page(tx: Tx, account_id: AccountId, wanted: Wanted, *, limit: int, before: int | None) -> list[Job]:
    """Newest first, those with a position below `before`."""
    given: dict[str, Any] = {
        "account": account_id,
        "batch": wanted.batch_id,
        "workflow": wanted.workflow,
        "end_user": wanted.end_user,
        "before": before,
        "first": await _place(tx, _FIRST, wanted.since, -SLACK_SECONDS),
        "last": await _place(tx, _LAST, wanted.until, SLACK_SECONDS),
        "since": wanted.since,
        "until": wanted.until,
        "states": list(wanted.states),
        "labels": Jsonb(dict(wanted.labels)),
        "limit": limit,
    }
    if _NEVER in {given["first"], given["last"]}:
        return []
    rows = await tx.execute(f"SELECT {COLUMNS} FROM jobs j WHERE {_key(wanted)}{_REST}", given)  # noqa: S608
    return [job_of(row) for row in await rows.fetchall()]


def _key(wanted: Wanted) -> LiteralString:
    if wanted.batch_id is not None:
        return _BY_BATCH
    if wanted.workflow is not None:
        return _BY_WORKFLOW
    return _BY_END_USER if wanted.end_user else _BY_ACCOUNT


async def _place(tx: Tx, question: LiteralString, when: dt.datetime | None, slack: float) -> int | None:
    """None: no bound. _NEVER: no job is of that time."""
    if when is None:
        return None
    millis = max(int((when.timestamp() + slack) * 1000), 0)
    row = await (await tx.execute(question, (uuid.UUID(int=min(millis, 2**48 - 1) << 80),))).fetchone()
    return int(row[0]) if row else _NEVER
