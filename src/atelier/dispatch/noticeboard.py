"""What is loaded on the servers is told to everybody who explains or foretells, at most once a second."""

import asyncio
from collections.abc import Mapping

import structlog

from atelier.dispatch.driver import Driver
from atelier.dispatch.heat import Told
from atelier.fleet.store import roster
from atelier.fleet.store.roster import WarmNow
from atelier.kit import clock
from atelier.kit.database import AWAY, Database
from atelier.kit.ids import ServerId

EVERY_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Noticeboard:
    """Writes what changed since it was written last."""

    def __init__(self, database: Database, drivers: Mapping[ServerId, Driver]) -> None:
        self._database = database
        self._drivers = drivers
        self._told: dict[tuple[ServerId, int], Told] = {}

    async def run(self) -> None:
        """Until cancelled. What could not be written is written with the next."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.tell()
            except AWAY as error:
                _log.info("warm_models.not_told", reason=str(error))

    async def tell(self) -> None:
        """Write what is loaded now, where that is news."""
        now = clock.monotonic()
        seen = {
            (driver.server_id, driver.lease.fence): driver.offers.heat.told(now)
            for driver in self._drivers.values()
        }
        news = {key: told for key, told in seen.items() if self._told.get(key) != told}
        if news:
            async with self._database.autocommit() as tx:
                await roster.save_warm(
                    tx,
                    [
                        WarmNow(server_id, fence, told.warm, max(told.stay_until - now, 0.0))
                        for (server_id, fence), told in sorted(news.items())
                    ],
                )
        self._told = seen
