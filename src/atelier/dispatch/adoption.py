"""What the database has for a server lives at its driver: adopted at first, and whenever an answer was lost."""

import asyncio
import contextlib
from collections.abc import Callable, Collection

import structlog

from atelier.dispatch.context import Context
from atelier.dispatch.throttle import Throttle
from atelier.fleet.model import Lease
from atelier.jobs import service as jobs
from atelier.jobs.model import Claim
from atelier.jobs.store import claims
from atelier.kit import clock
from atelier.kit.database import AWAY

EVERY_SECONDS = 60.0
"""How often the attempts that the database has for a server are compared with those that live here."""

_log = structlog.get_logger(__name__)


class Adoption:
    """Of one lease. `here`: the prompts that live at the driver; `begin` makes one more of a claim."""

    def __init__(
        self, context: Context, lease: Lease, here: Callable[[], Collection[str]], begin: Callable[[Claim], None]
    ) -> None:
        self._context = context
        self._lease = lease
        self._here = here
        self._begin = begin
        self._missed = asyncio.Event()

    def soon(self) -> None:
        """A claim's answer was lost: perhaps the database has attempts for this server that nobody runs."""
        self._missed.set()

    async def adopt(self, throttle: Throttle) -> None:
        """Begin what is not here yet; count what the server was given by whoever drove it before."""
        server_id = self._lease.server.id
        async with self._context.database.transaction() as tx:
            living = await jobs.adopt(tx, server_id, self._lease.fence)
            lately = await claims.lately(tx, server_id)
        now = clock.monotonic()
        throttle.restore(now - ago for ago in lately)
        for claim in living:
            if str(claim.prompt_id) not in self._here():
                _log.info("attempt.adopted", server=server_id, job=str(claim.job_id), number=claim.number)
                self._begin(claim)

    async def run(self, throttle: Throttle) -> None:
        """Adopt what was missed, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._missed.wait()
            self._missed.clear()
            try:
                if await self._misses_some():
                    await self.adopt(throttle)
            except AWAY as error:
                _log.info("attempts.not_compared", server=self._lease.server.id, reason=str(error))
                self._missed.set()
                await asyncio.sleep(1.0)

    async def _misses_some(self) -> bool:
        async with self._context.database.autocommit() as connection:
            living = await claims.live(connection, self._lease.server.id, self._lease.fence)
        return any(str(claim.prompt_id) not in self._here() for claim in living)
