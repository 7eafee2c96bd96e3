"""What was measured: how long graphs run with their models loaded, and how long models load. Seconds."""

from collections.abc import Mapping

from atelier.kit.database import Tx
from atelier.kit.ids import ServerId


async def run_times(tx: Tx) -> dict[tuple[bytes, ServerId], float]:
    """Measured seconds of a run by graph shape and server, the newest ten thousand."""
    rows = await tx.execute("SELECT shape, server_id, seconds FROM run_times ORDER BY updated_at DESC LIMIT 10000")
    return {(bytes(row[0]), ServerId(row[1])): row[2] for row in await rows.fetchall()}


async def load_times(tx: Tx) -> dict[tuple[str, ServerId], float]:
    """Measured seconds of loading by lane and server, the newest ten thousand."""
    rows = await tx.execute("SELECT lane, server_id, seconds FROM load_times ORDER BY updated_at DESC LIMIT 10000")
    return {(row[0], ServerId(row[1])): row[2] for row in await rows.fetchall()}


async def save_run_times(tx: Tx, measured: Mapping[tuple[bytes, ServerId], float]) -> None:
    keys = sorted(measured)
    await tx.execute(
        """INSERT INTO run_times (shape, server_id, seconds, runs)
           SELECT *, 1 FROM unnest(%s::bytea[], %s::text[], %s::float8[])
           ON CONFLICT (shape, server_id) DO UPDATE
           SET seconds = excluded.seconds, runs = run_times.runs + 1, updated_at = now()""",
        ([key[0] for key in keys], [key[1] for key in keys], [measured[key] for key in keys]),
    )


async def save_load_times(tx: Tx, measured: Mapping[tuple[str, ServerId], float]) -> None:
    keys = sorted(measured)
    await tx.execute(
        """INSERT INTO load_times (lane, server_id, seconds, runs)
           SELECT *, 1 FROM unnest(%s::text[], %s::text[], %s::float8[])
           ON CONFLICT (lane, server_id) DO UPDATE
           SET seconds = excluded.seconds, runs = load_times.runs + 1, updated_at = now()""",
        ([key[0] for key in keys], [key[1] for key in keys], [measured[key] for key in keys]),
    )
