"""Who drives which server: dispatchers, their leases, and how a lease changes hands."""

import math
from collections.abc import Collection

from atelier.fleet.model import Lease
from atelier.fleet.sharing import OWNER_GONE_SECONDS, Seat
from atelier.fleet.store.roster import COLUMNS, server
from atelier.kit.database import Tx
from atelier.kit.ids import DispatcherId, ServerId

_LIVES = "EXISTS (SELECT 1 FROM attempts a WHERE a.server_id = l.server_id AND a.state <> 'ended')"

# A private server is its owner's. Another may have it only to end what lives there, when the owner is long away.
_REACHABLE = "s.only_dispatcher IN ('', (SELECT name FROM dispatchers WHERE id = %(me)s))"
_ORPHANED = f"""({_LIVES} AND NOT EXISTS (
    SELECT 1 FROM dispatchers o WHERE o.name = s.only_dispatcher
    AND o.expires_at > clock_timestamp() - make_interval(secs => %(gone)s)))"""  # noqa: S608 - fixed parts

_SEATS = f"""
SELECT s.id, s.only_dispatcher, s.enabled AND s.removed_at IS NULL,
       s.enabled AND s.removed_at IS NULL AND NOT s.drain,
       s.enabled AND s.removed_at IS NULL AND NOT s.drain AND s.health NOT IN ('offline', 'quarantined'),
       l.dispatcher_id IS NOT DISTINCT FROM %(me)s,
       d.id IS NULL OR d.expires_at < clock_timestamp(),
       NOT {_REACHABLE} AND {_ORPHANED}
FROM leases l JOIN servers s ON s.id = l.server_id LEFT JOIN dispatchers d ON d.id = l.dispatcher_id
WHERE (s.enabled AND s.removed_at IS NULL) OR l.dispatcher_id = %(me)s OR {_LIVES}
ORDER BY s.id
"""  # noqa: S608 - fixed parts

_FREE = f"""
SELECT l.server_id FROM leases l JOIN servers s ON s.id = l.server_id
LEFT JOIN dispatchers d ON d.id = l.dispatcher_id
WHERE l.dispatcher_id IS DISTINCT FROM %(me)s
  AND (%(among)s::text[] IS NULL OR l.server_id = ANY(%(among)s::text[]))
  AND ((s.enabled AND s.removed_at IS NULL) OR {_LIVES})
  AND (d.id IS NULL OR d.expires_at < clock_timestamp())
  AND ({_REACHABLE} OR {_ORPHANED})
ORDER BY l.server_id LIMIT %(most)s FOR UPDATE OF l SKIP LOCKED
"""  # noqa: S608 - fixed parts

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

_TOLD = """
INSERT INTO server_events (server_id, kind, data)
SELECT lost.id, 'taken_over', jsonb_build_object('dispatcher', d.name, 'reason', 'its dispatcher was lost')
FROM unnest(%(lost)s::text[]) AS lost(id), dispatchers d WHERE d.id = %(me)s
"""


_RUNS_OUT = """
SELECT extract(epoch FROM min(d.expires_at) - clock_timestamp())::float8 FROM dispatchers d
WHERE d.id <> %s AND d.expires_at > clock_timestamp() AND EXISTS (SELECT 1 FROM leases WHERE dispatcher_id = d.id)
"""


async def beat(tx: Tx, me: DispatcherId, name: str, seconds: float) -> None:
    """Say that this dispatcher lives for `seconds` more, by the database's clock."""
    await tx.execute(
        """INSERT INTO dispatchers (id, name, expires_at)
           VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s))
           ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at""",
        (me, name, seconds),
    )


async def runs_out_in(tx: Tx, me: DispatcherId) -> float:
    """Seconds until the first of the other holders of leases has run out, if it does not renew; infinite: none."""
    rows = await tx.execute(_RUNS_OUT, (me,))
    row = await rows.fetchone()
    return float(row[0]) if row and row[0] is not None else math.inf


async def dispatchers_alive(tx: Tx) -> int:
    row = await (
        await tx.execute("SELECT count(*) FROM dispatchers WHERE expires_at > clock_timestamp()")
    ).fetchone()
    return int(row[0]) if row else 0


async def names_alive(tx: Tx) -> list[str]:
    """The names of the dispatchers that live; two may have the same."""
    rows = await tx.execute("SELECT name FROM dispatchers WHERE expires_at > clock_timestamp()")
    return [row[0] for row in await rows.fetchall()]


async def seats(tx: Tx, me: DispatcherId) -> list[Seat]:
    """Every server that somebody should hold, or that we hold, as we see it; by id."""
    rows = await tx.execute(_SEATS, {"me": me, "gone": OWNER_GONE_SECONDS})
    return [Seat(*row) for row in await rows.fetchall()]


async def acquire(tx: Tx, me: DispatcherId, most: int, among: Collection[ServerId] | None = None) -> None:
    """Take over at most `most` servers that nobody alive holds: a new fence on the lease and on its live attempts.

    `among` these, where they are given. Those that we cannot reach are taken only to end what lives there.

    The last statement sees every attempt that a claim under the old fence wrote, because a claim holds the lease's
    row FOR SHARE until it commits and this statement starts after the lease is ours.
    """
    named = None if among is None else list(among)
    rows = await tx.execute(_FREE, {"me": me, "most": most, "among": named, "gone": OWNER_GONE_SECONDS})
    free = [server_id for (server_id,) in await rows.fetchall()]
    if not free:
        return
    rows = await tx.execute(_TAKE, {"me": me, "servers": free})
    held: dict[str, bool] = dict(await rows.fetchall())
    taken = list(held)
    await tx.execute(_LOCK_JOBS, (taken,))
    lost = [server_id for server_id in taken if held[server_id]]
    await tx.execute(_CARRY_OVER, {"taken": taken, "lost": lost})
    await tx.execute(_TOLD, {"lost": lost, "me": me})


async def leases(tx: Tx, me: DispatcherId) -> list[Lease]:
    """What this dispatcher holds now."""
    rows = await tx.execute(
        f"""SELECT {COLUMNS}, l.fence FROM leases l JOIN servers s ON s.id = l.server_id
            WHERE l.dispatcher_id = %s ORDER BY s.id""",  # noqa: S608 - fixed columns
        (me,),
    )
    return [Lease(server(row[:-1]), row[-1]) for row in await rows.fetchall()]


async def release(tx: Tx, me: DispatcherId, server_ids: Collection[ServerId]) -> None:
    """Hand leases back at once; whoever takes them adopts what still lives there."""
    await tx.execute(
        "UPDATE leases SET dispatcher_id = NULL WHERE dispatcher_id = %s AND server_id = ANY(%s)",
        (me, list(server_ids)),
    )


async def leave(tx: Tx, me: DispatcherId) -> None:
    """Give everything back: this dispatcher is gone, in good order. Since when is kept for an hour."""
    await tx.execute("UPDATE leases SET dispatcher_id = NULL WHERE dispatcher_id = %s", (me,))
    await tx.execute(
        "UPDATE dispatchers SET expires_at = least(expires_at, clock_timestamp()) WHERE id = %s", (me,)
    )


async def forget_dispatchers(tx: Tx) -> None:
    """Delete what is left of dispatchers that were killed more than an hour ago and hold nothing."""
    await tx.execute(
        """DELETE FROM dispatchers d WHERE expires_at < clock_timestamp() - interval '1 hour'
           AND NOT EXISTS (SELECT 1 FROM leases WHERE dispatcher_id = d.id)"""
    )
