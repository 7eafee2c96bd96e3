"""What an operator sees of a server beside its own row, and the changes that an operator makes to it.

Every change is written down in server_events by the transaction that makes it.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from atelier.fleet.model import Health, Server
from atelier.fleet.store.roster import COLUMNS, server
from atelier.kit.database import Tx
from atelier.kit.ids import JobId, ServerId

FIELDS = frozenset({"url", "headers", "enabled", "drain", "share", "max_per_minute", "run_timeout"})
"""The columns that an operator may change."""

# Attempts that live are few: at most two per server.
_SEEN = f"""
SELECT {COLUMNS}, coalesce(d.name, ''), d.expires_at > clock_timestamp(), live.runs
FROM servers s
LEFT JOIN leases l ON l.server_id = s.id
LEFT JOIN dispatchers d ON d.id = l.dispatcher_id
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'job', a.job_id, 'account', coalesce(c.name, ''), 'attempt', a.number, 'state', a.state,
               'since', coalesce(a.started_at, a.claimed_at)) ORDER BY a.claimed_at) AS runs
    FROM attempts a JOIN jobs j ON j.id = a.job_id LEFT JOIN accounts c ON c.id = j.account_id
    WHERE a.server_id = s.id AND a.state <> 'ended'
) live ON true
WHERE s.removed_at IS NULL
"""  # noqa: S608 - fixed columns


@dataclass(frozen=True, slots=True)
class Run:
    """A live attempt on a server: `claimed` is placed there, `running` has begun. `since` is when either was."""

    job_id: JobId
    account: str
    attempt: int
    state: str
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """A server with who drives it (a dispatcher's name, empty when nobody does) and what lives there."""

    server: Server
    driver: str
    runs: tuple[Run, ...]

    @property
    def state(self) -> Health:
        """The one state that everybody is told."""
        return self.server.shown(len(self.runs))


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """Something that happened to a server; ids only grow."""

    id: int
    kind: str
    data: Mapping[str, Any]
    created_at: dt.datetime


async def seen(tx: Tx) -> list[Seen]:
    """All servers that were not removed, by id."""
    rows = await tx.execute(f"{_SEEN} ORDER BY s.id")
    return [_seen(row) for row in await rows.fetchall()]


async def seen_one(tx: Tx, server_id: ServerId) -> Seen | None:
    row = await (await tx.execute(f"{_SEEN} AND s.id = %s", (server_id,))).fetchone()
    return _seen(row) if row else None


async def renew(tx: Tx, server_id: ServerId) -> None:
    """What was set of a server that was removed is forgotten; a quarantine is not."""
    await tx.execute(
        """UPDATE servers SET enabled = true, drain = false, share = 1, max_per_minute = NULL, run_timeout = NULL
           WHERE id = %s AND removed_at IS NOT NULL""",
        (server_id,),
    )


async def change(tx: Tx, server_id: ServerId, to: Mapping[str, object]) -> None:
    """Give a server these values of FIELDS. Raises UniqueViolation for an address that another one has."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in sorted(FIELDS & set(to))
    )
    statement = sql.SQL("UPDATE servers SET {} WHERE id = %(id)s AND removed_at IS NULL").format(columns)
    values = {name: Jsonb(value) if name == "headers" else value for name, value in to.items()}
    await tx.execute(statement, {"id": server_id, **values})


async def ask_probe(tx: Tx, server_id: ServerId) -> bool:
    """Whoever drives it shall look at it now. False when there is none of this id."""
    rows = await tx.execute(
        "UPDATE servers SET probe_asked_at = now() WHERE id = %s AND removed_at IS NULL", (server_id,)
    )
    return rows.rowcount == 1


async def events(tx: Tx, server_id: ServerId, most: int) -> Sequence[ServerEvent]:
    """What happened to it, newest first."""
    rows = await tx.execute(
        "SELECT id, kind, data, created_at FROM server_events WHERE server_id = %s ORDER BY id DESC LIMIT %s",
        (server_id, most),
    )
    return [ServerEvent(*row) for row in await rows.fetchall()]


def _seen(row: tuple[Any, ...]) -> Seen:
    driver, alive, runs = row[-3:]
    return Seen(server(row[:-3]), driver if alive else "", tuple(_run(one) for one in runs or ()))


def _run(one: Mapping[str, Any]) -> Run:
    return Run(
        JobId(uuid.UUID(one["job"])),
        one["account"],
        one["attempt"],
        one["state"],
        dt.datetime.fromisoformat(one["since"]),
    )
