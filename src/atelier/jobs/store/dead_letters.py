"""Dead letters: jobs that were given up for a reason that is not the graph's, until somebody settles them."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

_LETTER = """
SELECT d.job_id, d.account_id, coalesce(c.name, ''), d.code, d.died_at, d.replayed_as, d.settled_at,
       coalesce(j.error ->> 'message', ''), j.tries, j.server_deaths, j.dispatcher_losses, j.lane,
       ARRAY(SELECT a.server_id FROM attempts a WHERE a.job_id = j.id ORDER BY a.number)
FROM dead_letters d JOIN jobs j ON j.id = d.job_id LEFT JOIN accounts c ON c.id = d.account_id
"""

_MINE = "(%(account)s::uuid IS NULL OR d.account_id = %(account)s)"
_OF_THAT_CODE = "(%(code)s::text IS NULL OR d.code = %(code)s)"

_OPEN = f"""
{_LETTER}
WHERE d.settled_at IS NULL AND {_MINE} AND {_OF_THAT_CODE}
  AND (%(after)s::uuid IS NULL OR EXISTS (
      SELECT 1 FROM dead_letters p WHERE p.job_id = %(after)s
      AND (d.died_at < p.died_at OR (d.died_at = p.died_at AND d.job_id > p.job_id))))
ORDER BY d.died_at DESC, d.job_id LIMIT %(limit)s
"""  # noqa: S608 - fixed conditions

_DISCARD = f"""
UPDATE dead_letters d SET settled_at = now()
WHERE d.settled_at IS NULL AND {_MINE} AND {_OF_THAT_CODE}
  AND (%(ids)s::uuid[] IS NULL OR d.job_id = ANY(%(ids)s::uuid[]))
"""  # noqa: S608 - fixed conditions

_COUNT = f"""
SELECT count(*) FROM dead_letters d WHERE d.settled_at IS NULL AND {_MINE} AND {_OF_THAT_CODE}
"""  # noqa: S608 - fixed conditions


@dataclass(frozen=True, slots=True)
class Letter:
    """A job that was given up. `servers`: where it was tried, in order. Settled: replayed, or discarded."""

    job_id: JobId
    account_id: AccountId
    account: str
    code: str
    died_at: dt.datetime
    replayed_as: JobId | None
    settled_at: dt.datetime | None
    message: str
    tries: int
    server_deaths: int
    dispatcher_losses: int
    lane: str
    servers: tuple[str, ...]


async def letter(tx: Tx, account_id: AccountId | None, job_id: JobId) -> Letter | None:
    """The account's own (None: anybody's), settled or not."""
    rows = await tx.execute(
        f"{_LETTER} WHERE d.job_id = %(job)s AND ({_MINE}) IS TRUE", {"job": job_id, "account": account_id}
    )
    row = await rows.fetchone()
    return _letter(row) if row else None


async def page(
    tx: Tx, account_id: AccountId | None, *, limit: int, after: uuid.UUID | None, code: str | None
) -> list[Letter]:
    """Open ones, newest first, behind the letter `after`."""
    rows = await tx.execute(_OPEN, {"account": account_id, "limit": limit, "after": after, "code": code})
    return [_letter(row) for row in await rows.fetchall()]


async def count(tx: Tx, account_id: AccountId | None, code: str | None = None) -> int:
    """How many are open."""
    row = await (await tx.execute(_COUNT, {"account": account_id, "code": code})).fetchone()
    return int(row[0]) if row else 0


async def lock(tx: Tx, job_id: JobId) -> tuple[JobId | None, bool]:
    """Keep others from settling it until the transaction ends. Gives what it was replayed as, if it is open."""
    rows = await tx.execute(
        "SELECT replayed_as, settled_at IS NULL FROM dead_letters WHERE job_id = %s FOR UPDATE", (job_id,)
    )
    row = await rows.fetchone()
    return (JobId(row[0]) if row[0] else None, row[1]) if row else (None, False)


async def replayed(tx: Tx, job_id: JobId, new_id: JobId) -> None:
    """Settle it: that job runs in its place. The caller holds its lock."""
    await tx.execute(
        "UPDATE dead_letters SET replayed_as = %s, settled_at = now() WHERE job_id = %s", (new_id, job_id)
    )


async def discard(
    tx: Tx, account_id: AccountId | None, *, ids: Sequence[JobId] | None, code: str | None = None
) -> int:
    """Settle open ones without a new job: those named (None: all). Gives how many."""
    rows = await tx.execute(
        _DISCARD, {"account": account_id, "ids": None if ids is None else list(ids), "code": code}
    )
    return rows.rowcount


def _letter(row: tuple[Any, ...]) -> Letter:
    return dataclasses.replace(Letter(*row), servers=tuple(row[-1]))
