"""Graphs and requirement sets that no job names any more are marked, and deleted a day later.

No lock is shared with submits, which come by the hundred a second. It is safe because of the day between:

- A submit that finds a row without a mark uses it. It commits within seconds, so a deletion, which comes a day
  after a mark that this submit did not see, sees its job.
- A submit that finds a mark takes it away, or inserts the row anew where it is gone: ON CONFLICT waits for whoever
  holds the row. The deletion judges a row that was changed meanwhile by its new version, which has no mark.

A mark that a submit overtook (its job came while the row was being marked) is taken away by the next round, before
anything is deleted.
"""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from atelier.kit.database import Tx

AT_ONCE = 20_000

YOUNG = "2 days"
"""What is younger is left alone: somebody may have made it for a job that is still being accepted."""

WAIT = "1 day"
"""Longer by far than any transaction, or any id that a process remembers, may last."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A table, its key, and the column of `jobs` that names it."""

    table: str
    key: str
    named_by: str


GRAPHS = Kind("graphs", "digest", "graph_digest")
REQUIREMENTS = Kind("requirements", "id", "requirement_id")

_NAMED: LiteralString = "EXISTS (SELECT 1 FROM jobs j WHERE j.{named_by} = t.{key})"

_UNMARK: LiteralString = f"UPDATE {{table}} t SET marked_at = NULL WHERE t.marked_at IS NOT NULL AND {_NAMED}"  # noqa: S608 - fixed parts

_DELETE: LiteralString = f"""
DELETE FROM {{table}} WHERE {{key}} IN (
    SELECT t.{{key}} FROM {{table}} t WHERE t.marked_at < now() - %(wait)s::interval AND NOT {_NAMED}
    LIMIT %(most)s FOR UPDATE OF t SKIP LOCKED)
"""  # noqa: S608 - fixed parts

_MARK: LiteralString = f"""
UPDATE {{table}} SET marked_at = now() WHERE {{key}} IN (
    SELECT t.{{key}} FROM {{table}} t
    WHERE t.marked_at IS NULL AND t.created_at < now() - %(young)s::interval AND NOT {_NAMED}
    LIMIT %(most)s FOR UPDATE OF t SKIP LOCKED)
"""  # noqa: S608 - fixed parts


async def unmark(tx: Tx, kind: Kind) -> None:
    """What is named after all is marked no more. Comes before `delete`."""
    await _prepare(tx)
    await tx.execute(_statement(_UNMARK, kind))


async def delete(tx: Tx, kind: Kind) -> int:
    """Delete some of what was marked a day ago and is named by nobody. Gives how many."""
    await _prepare(tx)
    rows = await tx.execute(_statement(_DELETE, kind), {"wait": WAIT, "most": AT_ONCE})
    return rows.rowcount


async def mark(tx: Tx, kind: Kind) -> int:
    """Mark some of what nobody names. Gives how many."""
    await _prepare(tx)
    rows = await tx.execute(_statement(_MARK, kind), {"young": YOUNG, "most": AT_ONCE})
    return rows.rowcount


async def _prepare(tx: Tx) -> None:
    """These few statements a day read whole tables, in place of an index that every submit would pay for."""
    await tx.execute("SET LOCAL enable_seqscan = on")
    await tx.execute("SET LOCAL statement_timeout = '10min'")


def _statement(text: LiteralString, kind: Kind) -> sql.Composed:
    return sql.SQL(text).format(
        table=sql.Identifier(kind.table), key=sql.Identifier(kind.key), named_by=sql.Identifier(kind.named_by)
    )
