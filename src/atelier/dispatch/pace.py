"""How long graphs run and models load on a server, as measured: a run that had to load says nothing of the next.

What a cold run took beyond a warm one is what its models took to load.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import psycopg
import structlog

from atelier.fleet.store import measures
from atelier.kit.database import AWAY, Database
from atelier.kit.ids import ServerId

WEIGHT = 0.3
"""Weight of the newest run in a moving average."""

SAVE_SECONDS = 5.0
KEPT = 20_000
"""Subjects that are remembered; the one that was not measured for the longest time is forgotten first."""

UNMEASURED_LOAD = 5.0
"""Seconds that models are taken to load where nobody has seen it."""

_log = structlog.get_logger(__name__)

_S = TypeVar("_S", bound=Hashable)


class Averages(Generic[_S]):
    """Moving averages in seconds by subject and server."""

    def __init__(self) -> None:
        self._seconds: dict[_S, dict[ServerId, float]] = {}
        self._fresh: set[tuple[_S, ServerId]] = set()

    def of(self, subject: _S, server_id: ServerId) -> float | None:
        """As measured there; else as on average elsewhere; None where nobody measured it."""
        known = self._seconds.get(subject)
        if not known:
            return None
        return known[server_id] if server_id in known else sum(known.values()) / len(known)

    def here(self, subject: _S, server_id: ServerId) -> float | None:
        """As measured on this server."""
        return self._seconds.get(subject, {}).get(server_id)

    def measured(self, subject: _S, server_id: ServerId, seconds: float) -> None:
        known = self._seconds.pop(subject, {})
        before = known.get(server_id)
        known[server_id] = seconds if before is None else before + WEIGHT * (seconds - before)
        if len(self._seconds) >= KEPT:
            del self._seconds[next(iter(self._seconds))]
        self._seconds[subject] = known
        self._fresh.add((subject, server_id))

    def restore(self, known: Mapping[tuple[_S, ServerId], float]) -> None:
        """What was measured before this process began."""
        for (subject, server_id), seconds in known.items():
            self._seconds.setdefault(subject, {}).setdefault(server_id, seconds)

    def take_fresh(self) -> dict[tuple[_S, ServerId], float]:
        """What was measured since this was asked last."""
        fresh, self._fresh = self._fresh, set()
        found = ((key, self.here(*key)) for key in fresh)
        return {key: seconds for key, seconds in found if seconds is not None}

    def put_back(self, fresh: Mapping[tuple[_S, ServerId], float]) -> None:
        """It could not be written: it is still fresh."""
        self._fresh.update(fresh)


class Pace:
    """What was measured, kept over restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: Averages[bytes] = Averages()
        self._loads: Averages[str] = Averages()
        self._cold: dict[tuple[bytes, ServerId], float] = {}

    def expected(self, shape: bytes, server_id: ServerId) -> float | None:
        """Seconds of a run with its models loaded, or what it took at most with loading them; None: never seen."""
        measured = self._runs.of(shape, server_id)
        return self._cold.get((shape, server_id)) if measured is None else measured

    def loading(self, lane: str, server_id: ServerId) -> float:
        """Seconds that the lane's models take to load there; a guess where it was not measured."""
        if not lane:
            return 0.0
        measured = self._loads.of(lane, server_id)
        return UNMEASURED_LOAD if measured is None else measured

    def ran(self, shape: bytes, lane: str, server_id: ServerId, seconds: float, *, cold: bool) -> None:
        """A run ended after `seconds`. `cold`: its models had to be loaded first."""
        key = (shape, server_id)
        if not cold:
            self._runs.measured(shape, server_id, seconds)
            if lane and (whole := self._cold.pop(key, None)) is not None:
                self._loads.measured(lane, server_id, max(whole - seconds, 0.0))
            return
        warm = self._runs.here(shape, server_id)
        if warm is not None:
            self._loads.measured(lane, server_id, max(seconds - warm, 0.0))
        else:
            self._remember_cold(key, seconds)

    def _remember_cold(self, key: tuple[bytes, ServerId], seconds: float) -> None:
        """How much of it was loading is known when the same graph has run there once more."""
        if len(self._cold) >= KEPT:
            del self._cold[next(iter(self._cold))]
        self._cold[key] = seconds

    async def load(self) -> None:
        """What was measured before; without it, it is measured anew."""
        try:
            async with self._database.transaction() as tx:
                self._runs.restore(await measures.run_times(tx))
                self._loads.restore(await measures.load_times(tx))
        except AWAY as error:
            _log.info("pace.not_loaded", reason=str(error))

    async def save(self) -> None:
        """Write what was measured since the last time; a failure is tried again with the next."""
        runs, loads = self._runs.take_fresh(), self._loads.take_fresh()
        if not runs and not loads:
            return
        try:
            async with self._database.transaction() as tx:
                await measures.save_run_times(tx, runs)
                await measures.save_load_times(tx, loads)
        except (psycopg.Error, OSError) as error:
            self._runs.put_back(runs)
            self._loads.put_back(loads)
            _log.info("pace.not_saved", reason=str(error))
