"""Servers as they are registered, and how they fare."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from atelier.fleet.model import Health, Origin, Server
from atelier.kit.database import Tx
from atelier.kit.ids import ServerId

COLUMNS = """s.id, s.url, s.headers, s.enabled, s.origin, s.health, s.health_reason, s.health_at,
    s.inventory_digest, s.system, s.drain, s.share, s.max_per_minute, s.run_timeout, s.only_dispatcher,
    s.quarantined_at, s.quarantine_reason, s.probe_asked_at, s.warm, s.stay_until"""


# Who changes a server at run time does not change who can reach it.
@dataclass(frozen=True, slots=True)
class WarmNow:
    """The lanes whose models are loaded on a server; `stay`: for how many seconds more it keeps them if wanted."""

    server_id: ServerId
    fence: int
    warm: tuple[str, ...]
    stay: float


_PUT = """
INSERT INTO servers (id, url, headers, origin, only_dispatcher)
VALUES (%(id)s, %(url)s, %(headers)s, %(origin)s, %(owner)s)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, headers = excluded.headers, origin = excluded.origin,
    only_dispatcher = CASE WHEN excluded.origin = 'added' AND servers.removed_at IS NULL
                           THEN servers.only_dispatcher ELSE excluded.only_dispatcher END,
    removed_at = NULL
"""

_SAVE_HEALTH = """
WITH before AS (
    SELECT id, health FROM servers
    WHERE id = %(id)s AND (health, health_reason) IS DISTINCT FROM (%(health)s, %(reason)s) FOR UPDATE
), after AS (
    UPDATE servers s SET health = %(health)s, health_reason = %(reason)s, health_at = now()
    FROM before WHERE s.id = before.id
), event AS (
    INSERT INTO server_events (server_id, kind, data)
    SELECT id, 'health', jsonb_build_object('from', health, 'to', %(health)s::text, 'reason', %(reason)s::text)
    FROM before WHERE health <> %(health)s
)
SELECT id FROM before
"""

_QUARANTINE = """
WITH server AS (
    UPDATE servers s SET quarantined_at = coalesce(quarantined_at, now()), quarantine_reason = %(reason)s,
                         health = 'quarantined', health_reason = %(reason)s, health_at = now()
    FROM leases l WHERE s.id = %(id)s AND l.server_id = s.id AND l.fence = %(fence)s
    RETURNING s.id
)
INSERT INTO server_events (server_id, kind, data) SELECT id, 'quarantined', %(told)s FROM server
RETURNING server_id
"""

_SAVE_WARM = """
UPDATE servers s SET warm = ARRAY(SELECT jsonb_array_elements_text(w.warm)),
                     stay_until = CASE WHEN w.stay > 0 THEN now() + make_interval(secs => w.stay) END
FROM jsonb_to_recordset(%s) AS w(id text, fence bigint, warm jsonb, stay float8)
JOIN leases l ON l.server_id = w.id AND l.fence = w.fence
WHERE s.id = w.id
"""

_RELEASE = """
WITH server AS (
    UPDATE servers s SET quarantined_at = NULL, quarantine_reason = ''
    FROM leases l WHERE s.id = %(id)s AND l.server_id = s.id AND l.fence = %(fence)s
                    AND s.quarantined_at IS NOT NULL
    RETURNING s.id
)
INSERT INTO server_events (server_id, kind, data) SELECT id, 'released', %(told)s FROM server
RETURNING server_id
"""


async def one_at_a_time(tx: Tx) -> None:
    """Until the transaction ends nobody else adds a server: two that name one new address make one server."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('servers'))")


async def put(
    tx: Tx, server_id: ServerId, url: str, headers: Mapping[str, str], origin: Origin, *, owner: str = ""
) -> None:
    """Add a server, or give a known one its new address and headers. `owner`: who alone can reach it."""
    values = {"id": server_id, "url": url, "headers": Jsonb(dict(headers)), "origin": origin, "owner": owner}
    await tx.execute(_PUT, values)
    await tx.execute("INSERT INTO leases (server_id) VALUES (%s) ON CONFLICT DO NOTHING", (server_id,))


async def servers(tx: Tx) -> list[Server]:
    """All servers that were not removed."""
    rows = await tx.execute(f"SELECT {COLUMNS} FROM servers s WHERE removed_at IS NULL ORDER BY id")  # noqa: S608
    return [server(row) for row in await rows.fetchall()]


async def by_url(tx: Tx, url: str, owner: str = "") -> Server | None:
    """The server of this address among those that everybody can reach, or only `owner`."""
    rows = await tx.execute(
        f"SELECT {COLUMNS} FROM servers s WHERE url = %s AND only_dispatcher = %s AND removed_at IS NULL",  # noqa: S608 - fixed columns
        (url, owner),
    )
    row = await rows.fetchone()
    return server(row) if row else None


async def remove(tx: Tx, server_id: ServerId) -> bool:
    """Take no more jobs there. What runs there ends first."""
    rows = await tx.execute(
        "UPDATE servers SET removed_at = now() WHERE id = %s AND removed_at IS NULL", (server_id,)
    )
    return rows.rowcount == 1


async def remove_others(tx: Tx, origin: Origin, keep: Collection[ServerId], owner: str = "") -> None:
    """Servers that a setting (that of `owner`) named before and does not name now are removed."""
    await tx.execute(
        """UPDATE servers SET removed_at = now()
           WHERE origin = %s AND only_dispatcher = %s AND removed_at IS NULL AND NOT id = ANY(%s)""",
        (origin, owner, list(keep)),
    )


async def save_system(tx: Tx, server_id: ServerId, system: Mapping[str, Any]) -> None:
    """What its machine said last (/system_stats)."""
    await tx.execute("UPDATE servers SET system = %s WHERE id = %s", (Jsonb(dict(system)), server_id))


async def save_health(tx: Tx, server_id: ServerId, health: Health, reason: str) -> bool:
    """Record a server's health, and as an event that it changed. False when all was so already."""
    rows = await tx.execute(_SAVE_HEALTH, {"id": server_id, "health": health, "reason": reason})
    return await rows.fetchone() is not None


async def quarantine(tx: Tx, server_id: ServerId, fence: int, reason: str, evidence: Mapping[str, Any]) -> bool:
    """Take a server out of use until a probe succeeds. False when the lease is not ours any more.

    `evidence` becomes a part of the event `quarantined`; see `last_quarantine`.
    """
    told = Jsonb({"reason": reason, **evidence})
    rows = await tx.execute(_QUARANTINE, {"id": server_id, "fence": fence, "reason": reason, "told": told})
    return await rows.fetchone() is not None


async def release(tx: Tx, server_id: ServerId, fence: int, reason: str) -> bool:
    """The end of a quarantine. False when there was none, or the lease is not ours any more."""
    told = Jsonb({"reason": reason})
    rows = await tx.execute(_RELEASE, {"id": server_id, "fence": fence, "told": told})
    return await rows.fetchone() is not None


async def save_warm(tx: Tx, servers: Sequence[WarmNow]) -> None:
    """Write down what is loaded where. Servers whose lease is not ours any more are left alone."""
    told = [{"id": one.server_id, "fence": one.fence, "warm": list(one.warm), "stay": one.stay} for one in servers]
    await tx.execute(_SAVE_WARM, (Jsonb(told),))


async def last_quarantine(tx: Tx, server_id: ServerId) -> Mapping[str, Any]:
    """What was written down when the server was quarantined last; empty when it never was."""
    rows = await tx.execute(
        "SELECT data FROM server_events WHERE server_id = %s AND kind = 'quarantined' ORDER BY id DESC LIMIT 1",
        (server_id,),
    )
    row = await rows.fetchone()
    found: Mapping[str, Any] = row[0] if row else {}
    return found


async def record(tx: Tx, server_id: ServerId, kind: str, data: Mapping[str, Any]) -> None:
    """Write down that something happened to a server, in the transaction in which it happens."""
    await tx.execute(
        "INSERT INTO server_events (server_id, kind, data) VALUES (%s, %s, %s)",
        (server_id, kind, Jsonb(dict(data))),
    )


async def forget_events(tx: Tx) -> int:
    """What happened to servers is kept for 30 days; the newest quarantine of each for as long as it lasts."""
    rows = await tx.execute(
        """DELETE FROM server_events e WHERE created_at < now() - interval '30 days'
           AND NOT (kind = 'quarantined' AND EXISTS (
               SELECT 1 FROM servers s WHERE s.id = e.server_id AND s.quarantined_at IS NOT NULL))"""
    )
    return rows.rowcount


def server(row: tuple[Any, ...]) -> Server:
    return Server(
        id=ServerId(row[0]),
        url=row[1],
        headers=row[2],
        enabled=row[3],
        origin=Origin(row[4]),
        health=Health(row[5]),
        health_reason=row[6],
        health_at=row[7],
        inventory_digest=bytes(row[8]) if row[8] else None,
        system=row[9],
        drain=row[10],
        share=row[11],
        max_per_minute=row[12],
        run_timeout=row[13],
        only_dispatcher=row[14],
        quarantined_at=row[15],
        quarantine_reason=row[16],
        probe_asked_at=row[17],
        warm=tuple(row[18]),
        stay_until=row[19],
    )
