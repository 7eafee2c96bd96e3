"""Messages of running jobs on their way to sockets in other processes, and who listens; both tables are unlogged.

A process writes its rows by one statement after another, so within one `origin` whoever sees a number has seen all
smaller ones: a reader keeps one cursor per origin.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

LISTENS_SECONDS = 15.0
"""How long a registration lasts that nobody renews."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message. `body` of a text is UTF-8."""

    seq: int
    account_id: AccountId
    job_id: JobId
    client_id: str | None
    kind: int
    is_text: bool
    body: bytes


# A row that came twice, because the answer to the first insert was lost, is there once.
_WRITE = """
INSERT INTO relayed (origin, seq, account_id, job_id, client_id, kind, is_text, body)
SELECT %s, * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::text[], %s::smallint[], %s::boolean[],
                         %s::bytea[])
ON CONFLICT DO NOTHING
"""

# Origins are found by stepping from one to the next through the primary key; no statement reads the table.
_ORIGINS = """
WITH RECURSIVE known(origin) AS (
    (SELECT origin FROM relayed ORDER BY origin LIMIT 1)
    UNION ALL
    SELECT (SELECT r.origin FROM relayed r WHERE r.origin > known.origin ORDER BY r.origin LIMIT 1)
    FROM known WHERE known.origin IS NOT NULL
)
"""

_LAST = "(SELECT max(m.seq) FROM relayed m WHERE m.origin = known.origin)"

_READ = f"""{_ORIGINS}
SELECT known.origin, {_LAST}, r.seq, r.account_id, r.job_id, r.client_id, r.kind, r.is_text, r.body
FROM known LEFT JOIN LATERAL (
    SELECT * FROM relayed n WHERE n.origin = known.origin AND n.account_id = ANY(%(accounts)s)
      AND n.seq > coalesce((%(cursors)s::jsonb ->> known.origin::text)::bigint, 0)
    ORDER BY n.seq
) r ON true
WHERE known.origin IS NOT NULL AND known.origin <> %(me)s
ORDER BY known.origin, r.seq
"""  # noqa: S608 - fixed parts

_ENDS = f"{_ORIGINS} SELECT origin, {_LAST} FROM known WHERE origin IS NOT NULL"  # noqa: S608 - fixed parts

_REGISTER = """
WITH gone AS (
    DELETE FROM listeners WHERE process = %(me)s AND account_id <> ALL(%(accounts)s) OR until < now()
)
INSERT INTO listeners (process, account_id, until)
SELECT %(me)s, account, now() + make_interval(secs => %(seconds)s) FROM unnest(%(accounts)s::uuid[]) AS account
ON CONFLICT (process, account_id) DO UPDATE SET until = excluded.until
"""


async def write(tx: Tx, origin: uuid.UUID, rows: Sequence[Row]) -> None:
    """All rows, in order of their numbers; it may be asked again."""
    await tx.execute(
        _WRITE,
        (
            origin,
            [row.seq for row in rows],
            [row.account_id for row in rows],
            [row.job_id for row in rows],
            [row.client_id for row in rows],
            [row.kind for row in rows],
            [row.is_text for row in rows],
            [row.body for row in rows],
        ),
    )


async def read(
    tx: Tx, me: uuid.UUID, accounts: Collection[AccountId], cursors: Mapping[uuid.UUID, int]
) -> tuple[dict[uuid.UUID, int], list[tuple[uuid.UUID, Row]]]:
    """What others wrote for these accounts behind the cursors, and the cursors from here on."""
    known = Jsonb({str(origin): seq for origin, seq in cursors.items()})
    rows = await tx.execute(_READ, {"me": me, "accounts": list(accounts), "cursors": known})
    ends: dict[uuid.UUID, int] = {}
    found: list[tuple[uuid.UUID, Row]] = []
    for origin, end, *row in await rows.fetchall():
        ends[origin] = end
        if row[0] is not None:
            found.append((origin, Row(*row)))
    return ends, found


async def ends(tx: Tx) -> dict[uuid.UUID, int]:
    """The last number of every origin."""
    rows = await tx.execute(_ENDS)
    return dict(await rows.fetchall())


async def forget(tx: Tx, origin: uuid.UUID, seq: int) -> None:
    """Delete an origin's rows up to this number."""
    await tx.execute("DELETE FROM relayed WHERE origin = %s AND seq <= %s", (origin, seq))


async def forget_old(tx: Tx) -> None:
    """Delete what processes left that are gone."""
    await tx.execute("DELETE FROM relayed WHERE created_at < now() - interval '1 minute'")


async def register(tx: Tx, me: uuid.UUID, accounts: Collection[AccountId]) -> None:
    """`me` listens for exactly these accounts; registrations that ran out, whosever, are deleted."""
    given: dict[str, Any] = {"me": me, "accounts": sorted(accounts), "seconds": LISTENS_SECONDS}
    await tx.execute(_REGISTER, given)


async def listeners(
    tx: Tx, me: uuid.UUID, account_id: AccountId | None = None
) -> dict[AccountId, frozenset[uuid.UUID]]:
    """The other processes that listen, by account: all, or those of one account."""
    rows = await tx.execute(
        """SELECT account_id, array_agg(process) FROM listeners
           WHERE process <> %(me)s AND until > now() AND (%(account)s::uuid IS NULL OR account_id = %(account)s)
           GROUP BY account_id""",
        {"me": me, "account": account_id},
    )
    return {AccountId(account): frozenset(processes) for account, processes in await rows.fetchall()}
