"""How long graphs of one shape ran, wherever they did."""

from collections.abc import Collection

from atelier.kit.database import Tx


async def averages(tx: Tx, shapes: Collection[bytes]) -> dict[bytes, float]:
    """Seconds by shape, over all servers that ran it; what never ran is left out."""
    rows = await tx.execute(
        "SELECT shape, sum(seconds * runs) / sum(runs) FROM run_times WHERE shape = ANY(%s) GROUP BY shape",
        (list(shapes),),
    )
    return {bytes(shape): float(seconds) for shape, seconds in await rows.fetchall() if seconds is not None}
