"""SQL of the fleet: servers, their inventories, requirement sets and leases."""

from collections.abc import Collection, Mapping
from typing import Any

from psycopg.types.json import Jsonb

from atelier.fleet.inventory import Inventory, stored
from atelier.fleet.model import Health, Lease, Origin, Requirement, Server
from atelier.kit.database import Tx
from atelier.kit.ids import DispatcherId, ServerId

_COLUMNS = """s.id, s.url, s.headers, s.enabled, s.origin, s.health, s.health_reason, s.health_at,
    s.inventory_digest, s.system"""

_PUT = """
INSERT INTO servers (id, url, headers, origin) VALUES (%(id)s, %(url)s, %(headers)s, %(origin)s)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, headers = excluded.headers, origin = excluded.origin,
    removed_at = NULL
"""

_FREE = """
SELECT l.server_id FROM leases l JOIN servers s ON s.id = l.server_id
LEFT JOIN dispatchers d ON d.id = l.dispatcher_id
WHERE l.dispatcher_id IS DISTINCT FROM %(me)s
  AND ((s.enabled AND s.removed_at IS NULL)
       OR EXISTS (SELECT 1 FROM attempts a WHERE a.server_id = l.server_id AND a.state <> 'ended'))
  AND (d.id IS NULL OR d.expires_at < clock_timestamp())
ORDER BY l.server_id LIMIT %(most)s FOR UPDATE OF l SKIP LOCKED
"""

# Judged anew under the lock: what was free when _FREE looked may have been taken, or renewed, before it locked. A
# holder that renews at this moment has its row locked, and is not dead.
_TAKE = """
WITH locked AS (
    SELECT server_id, dispatcher_id AS holder FROM leases WHERE server_id = ANY(%(servers)s::text[])
), dead AS (
    SELECT id FROM dispatchers WHERE id IN (SELECT holder FROM locked) AND expires_at < clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE leases l SET dispatcher_id = %(me)s, fence = l.fence + 1 FROM locked
WHERE l.server_id = locked.server_id AND holder IS DISTINCT FROM %(me)s
  AND (holder IS NULL OR holder IN (SELECT id FROM dead)
       OR NOT EXISTS (SELECT 1 FROM dispatchers d WHERE d.id = holder))
RETURNING l.server_id, holder IS NOT NULL
"""

_LOCK_JOBS = """
SELECT id FROM jobs WHERE id IN (
    SELECT job_id FROM attempts WHERE server_id = ANY(%s::text[]) AND state <> 'ended')
ORDER BY id FOR UPDATE
"""

_CARRY_OVER = """
WITH carried AS (
    UPDATE attempts a SET fence = l.fence FROM leases l
    WHERE l.server_id = ANY(%(taken)s::text[]) AND a.server_id = l.server_id AND a.state <> 'ended'
    RETURNING a.job_id, a.server_id
)
UPDATE jobs SET dispatcher_losses = dispatcher_losses + 1 FROM carried
WHERE jobs.id = carried.job_id AND carried.server_id = ANY(%(lost)s::text[])
"""


async def put(tx: Tx, server_id: ServerId, url: str, headers: Mapping[str, str], origin: Origin) -> None:
    """Add a server, or give a known one its new address and headers."""
    await tx.execute(_PUT, {"id": server_id, "url": url, "headers": Jsonb(dict(headers)), "origin": origin})
    await tx.execute("INSERT INTO leases (server_id) VALUES (%s) ON CONFLICT DO NOTHING", (server_id,))


async def servers(tx: Tx) -> list[Server]:
    """All servers that were not removed."""
    rows = await tx.execute(f"SELECT {_COLUMNS} FROM servers s WHERE removed_at IS NULL ORDER BY id")  # noqa: S608
    return [_server(row) for row in await rows.fetchall()]


async def by_url(tx: Tx, url: str) -> Server | None:
    rows = await tx.execute(f"SELECT {_COLUMNS} FROM servers s WHERE url = %s AND removed_at IS NULL", (url,))  # noqa: S608
    row = await rows.fetchone()
    return _server(row) if row else None


async def remove(tx: Tx, server_id: ServerId) -> bool:
    """Take no more jobs there. What runs there ends first."""
    rows = await tx.execute(
        "UPDATE servers SET removed_at = now() WHERE id = %s AND removed_at IS NULL", (server_id,)
    )
    return rows.rowcount == 1


async def remove_others(tx: Tx, origin: Origin, keep: Collection[ServerId]) -> None:
    """Servers that a setting named before and does not name now are removed."""
    await tx.execute(
        "UPDATE servers SET removed_at = now() WHERE origin = %s AND removed_at IS NULL AND NOT id = ANY(%s)",
        (origin, list(keep)),
    )


async def save_inventory(tx: Tx, server_id: ServerId, inventory: Inventory, system: Mapping[str, Any]) -> None:
    """Its list, which may be many megabytes, is sent only when it is new."""
    rows = await tx.execute("SELECT 1 FROM inventories WHERE digest = %s", (inventory.digest,))
    if await rows.fetchone() is None:
        await tx.execute(
            "INSERT INTO inventories (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (inventory.digest, Jsonb(dict(inventory.classes))),
        )
    await tx.execute(
        "UPDATE servers SET inventory_digest = %s, system = %s WHERE id = %s",
        (inventory.digest, Jsonb(dict(system)), server_id),
    )


async def save_health(tx: Tx, server_id: ServerId, health: Health, reason: str) -> bool:
    """Record a server's health. False when it was so already."""
    rows = await tx.execute(
        "UPDATE servers SET health = %s, health_reason = %s, health_at = now()"
        " WHERE id = %s AND (health, health_reason) IS DISTINCT FROM (%s, %s)",
        (health, reason, server_id, health, reason),
    )
    return rows.rowcount == 1


async def inventories(tx: Tx, digests: Collection[bytes]) -> list[Inventory]:
    rows = await tx.execute("SELECT digest, body FROM inventories WHERE digest = ANY(%s)", (list(digests),))
    return [stored(bytes(digest), body) for digest, body in await rows.fetchall()]


async def requirement_id(tx: Tx, digest: bytes, requirement: Requirement) -> int:
    """The id of a requirement set, made when it is new."""
    await tx.execute(
        "INSERT INTO requirements (digest, body) SELECT %s, %s"
        " WHERE NOT EXISTS (SELECT 1 FROM requirements WHERE digest = %s) ON CONFLICT DO NOTHING",
        (digest, Jsonb(requirement.as_json()), digest),
    )
    row = await (await tx.execute("SELECT id FROM requirements WHERE digest = %s", (digest,))).fetchone()
    assert row is not None  # noqa: S101 - the row was inserted or was there; requirement sets are never deleted
    return int(row[0])


async def requirements(tx: Tx, ids: Collection[int]) -> dict[int, Requirement]:
    rows = await tx.execute("SELECT id, body FROM requirements WHERE id = ANY(%s)", (list(ids),))
    return {row[0]: Requirement.from_json(row[1]) for row in await rows.fetchall()}


async def beat(tx: Tx, me: DispatcherId, name: str, seconds: float) -> None:
    """Say that this dispatcher lives for `seconds` more, by the database's clock."""
    await tx.execute(
        """INSERT INTO dispatchers (id, name, expires_at)
           VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s))
           ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at""",
        (me, name, seconds),
    )


async def dispatchers_alive(tx: Tx) -> int:
    row = await (
        await tx.execute("SELECT count(*) FROM dispatchers WHERE expires_at > clock_timestamp()")
    ).fetchone()
    return int(row[0]) if row else 0


async def acquire(tx: Tx, me: DispatcherId, most: int) -> None:
    """Take over at most `most` servers that nobody alive holds: a new fence on the lease and on its live attempts.

    The last statement sees every attempt that a claim under the old fence wrote, because a claim holds the lease's
    row FOR SHARE until it commits and this statement starts after the lease is ours.
    """
    rows = await tx.execute(_FREE, {"me": me, "most": most})
    free = [server_id for (server_id,) in await rows.fetchall()]
    if not free:
        return
    rows = await tx.execute(_TAKE, {"me": me, "servers": free})
    held: dict[str, bool] = dict(await rows.fetchall())
    taken = list(held)
    await tx.execute(_LOCK_JOBS, (taken,))
    lost = [server_id for server_id in taken if held[server_id]]
    await tx.execute(_CARRY_OVER, {"taken": taken, "lost": lost})


async def leases(tx: Tx, me: DispatcherId) -> list[Lease]:
    """What this dispatcher holds now."""
    rows = await tx.execute(
        f"""SELECT {_COLUMNS}, l.fence FROM leases l JOIN servers s ON s.id = l.server_id
            WHERE l.dispatcher_id = %s ORDER BY s.id""",  # noqa: S608 - fixed columns
        (me,),
    )
    return [Lease(_server(row[:-1]), row[-1]) for row in await rows.fetchall()]


async def usable(tx: Tx) -> set[ServerId]:
    """The servers that may take jobs: enabled and not removed."""
    rows = await tx.execute("SELECT id FROM servers WHERE enabled AND removed_at IS NULL")
    return {ServerId(row[0]) for row in await rows.fetchall()}


async def worth_driving(tx: Tx) -> int:
    """How many servers may take jobs, or still have some."""
    rows = await tx.execute(
        """SELECT count(*) FROM servers s WHERE (s.enabled AND s.removed_at IS NULL)
           OR EXISTS (SELECT 1 FROM attempts a WHERE a.server_id = s.id AND a.state <> 'ended')"""
    )
    row = await rows.fetchone()
    return int(row[0]) if row else 0


async def release(tx: Tx, me: DispatcherId, server_ids: Collection[ServerId]) -> None:
    """Hand leases back at once; whoever takes them adopts what still lives there."""
    await tx.execute(
        "UPDATE leases SET dispatcher_id = NULL WHERE dispatcher_id = %s AND server_id = ANY(%s)",
        (me, list(server_ids)),
    )


async def leave(tx: Tx, me: DispatcherId) -> None:
    """Give everything back: this dispatcher is gone, in good order."""
    await tx.execute("UPDATE leases SET dispatcher_id = NULL WHERE dispatcher_id = %s", (me,))
    await tx.execute("DELETE FROM dispatchers WHERE id = %s", (me,))


async def forget_dispatchers(tx: Tx) -> None:
    """Delete what is left of dispatchers that were killed more than an hour ago and hold nothing."""
    await tx.execute(
        """DELETE FROM dispatchers d WHERE expires_at < clock_timestamp() - interval '1 hour'
           AND NOT EXISTS (SELECT 1 FROM leases WHERE dispatcher_id = d.id)"""
    )


async def run_times(tx: Tx) -> dict[tuple[bytes, ServerId], float]:
    """Measured seconds of a run by graph shape and server, the newest ten thousand."""
    rows = await tx.execute("SELECT shape, server_id, seconds FROM run_times ORDER BY updated_at DESC LIMIT 10000")
    return {(bytes(row[0]), ServerId(row[1])): row[2] for row in await rows.fetchall()}


async def save_run_times(tx: Tx, measured: Mapping[tuple[bytes, ServerId], float]) -> None:
    keys = sorted(measured)
    await tx.execute(
        """INSERT INTO run_times (shape, server_id, seconds, runs)
           SELECT *, 1 FROM unnest(%s::bytea[], %s::text[], %s::float8[])
           ON CONFLICT (shape, server_id) DO UPDATE
           SET seconds = excluded.seconds, runs = run_times.runs + 1, updated_at = now()""",
        ([key[0] for key in keys], [key[1] for key in keys], [measured[key] for key in keys]),
    )


def _server(row: tuple[Any, ...]) -> Server:
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
    )
