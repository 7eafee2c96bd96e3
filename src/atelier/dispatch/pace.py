"""How long a graph of this shape takes on this server, as measured; what a second prompt placed ahead rests on."""

import psycopg
import structlog

from atelier.fleet.store import measures
from atelier.kit.database import AWAY, Database
from atelier.kit.ids import ServerId

WEIGHT = 0.3
"""Weight of the newest run in the moving average."""

SAVE_SECONDS = 5.0
KEPT = 20_000
"""Averages that are remembered; the one that was not measured for the longest time is forgotten first."""

_log = structlog.get_logger(__name__)


class Pace:
    """Moving averages of run times in seconds, kept over restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seconds: dict[tuple[bytes, ServerId], float] = {}
        self._fresh: set[tuple[bytes, ServerId]] = set()

    def expected(self, shape: bytes, server_id: ServerId) -> float | None:
        return self._seconds.get((shape, server_id))

    def measured(self, shape: bytes, server_id: ServerId, seconds: float) -> None:
        key = (shape, server_id)
        before = self._seconds.pop(key, None)
        if len(self._seconds) >= KEPT:
            del self._seconds[next(iter(self._seconds))]
        self._seconds[key] = seconds if before is None else before + WEIGHT * (seconds - before)
        self._fresh.add(key)

    async def load(self) -> None:
        """What was measured before; without it, it is measured anew."""
        try:
            async with self._database.transaction() as tx:
                self._seconds = await measures.run_times(tx)
        except AWAY as error:
            _log.info("pace.not_loaded", reason=str(error))

    async def save(self) -> None:
        """Write what was measured since the last time; a failure is tried again with the next."""
        fresh, self._fresh = self._fresh, set()
        if not fresh:
            return
        try:
            async with self._database.transaction() as tx:
                await measures.save_run_times(
                    tx, {key: self._seconds[key] for key in fresh & self._seconds.keys()}
                )
        except (psycopg.Error, OSError) as error:
            self._fresh |= fresh
            _log.info("pace.not_saved", reason=str(error))
