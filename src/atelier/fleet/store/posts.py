"""How every server stands at this moment, and what was measured of those runs that somebody asks about."""

from collections.abc import Collection
from dataclasses import dataclass

from atelier.fleet.model import Server
from atelier.fleet.store.roster import COLUMNS, server
from atelier.kit.database import Tx
from atelier.kit.ids import ServerId

MOST_MEASURES = 20_000
"""Rows that one reading of measured times may have."""

_POSTS = f"""
SELECT {COLUMNS}, d.id IS NOT NULL, greatest(extract(epoch FROM s.stay_until - now()), 0)::float8
FROM servers s LEFT JOIN leases l ON l.server_id = s.id
LEFT JOIN dispatchers d ON d.id = l.dispatcher_id AND d.expires_at > clock_timestamp()
WHERE s.removed_at IS NULL ORDER BY s.id
"""  # noqa: S608 - fixed columns

_BEGUN = """
SELECT s.id, extract(epoch FROM now() - a.claimed_at)::float8
FROM unnest(%s::text[]) AS s(id) CROSS JOIN LATERAL (
    SELECT claimed_at FROM attempts WHERE server_id = s.id AND claimed_at > now() - interval '1 minute'
    ORDER BY claimed_at DESC LIMIT %s
) a
"""


@dataclass(frozen=True, slots=True)
class Post:
    """A registered server, whether a living dispatcher drives it, and for how many seconds it stays as it is."""

    server: Server
    driven: bool
    stay: float


async def posts(tx: Tx) -> list[Post]:
    """All registered servers, by id."""
    rows = await tx.execute(_POSTS)
    return [Post(server(row[:-2]), row[-2], row[-1] or 0.0) for row in await rows.fetchall()]


async def dispatchers(tx: Tx) -> set[str]:
    """The names of the dispatchers that live."""
    rows = await tx.execute("SELECT name FROM dispatchers WHERE expires_at > clock_timestamp()")
    return {row[0] for row in await rows.fetchall()}


async def begun(tx: Tx, server_ids: Collection[ServerId], most: int) -> dict[ServerId, list[float]]:
    """How many seconds ago each of these servers was given a job within the last minute, the newest first."""
    ages: dict[ServerId, list[float]] = {}
    for server_id, age in await (await tx.execute(_BEGUN, (list(server_ids), most))).fetchall():
        ages.setdefault(ServerId(server_id), []).append(age)
    return ages


async def run_times(tx: Tx, shapes: Collection[bytes]) -> dict[tuple[bytes, ServerId], float]:
    """Measured seconds of runs of these shapes, by shape and server."""
    rows = await tx.execute(
        "SELECT shape, server_id, seconds FROM run_times WHERE shape = ANY(%s) LIMIT %s",
        (list(shapes), MOST_MEASURES),
    )
    return {(bytes(row[0]), ServerId(row[1])): row[2] for row in await rows.fetchall()}


async def load_times(tx: Tx, lanes: Collection[str]) -> dict[tuple[str, ServerId], float]:
    """Measured seconds that these lanes take to load, by lane and server."""
    rows = await tx.execute(
        "SELECT lane, server_id, seconds FROM load_times WHERE lane = ANY(%s) LIMIT %s",
        (list(lanes), MOST_MEASURES),
    )
    return {(row[0], ServerId(row[1])): row[2] for row in await rows.fetchall()}
