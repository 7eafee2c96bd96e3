"""The sockets of one process: each account that has some is followed once, and hears of nobody else's jobs."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import structlog

from atelier.dialects.comfyui.follower import Follower, Ground
from atelier.dialects.comfyui.runs import File, Run
from atelier.dialects.comfyui.sockets import GOING_AWAY, NoSocketLeft, Places
from atelier.jobs.relay import Relay
from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, JobId
from atelier.kit.wakeups import Wakeups

READY_SECONDS = 10.0

_log = structlog.get_logger(__name__)


class Hub:
    """Lets sockets in while `run` runs. `places` bounds how many."""

    def __init__(self, places: Places | None = None) -> None:
        self.places = places or Places()
        self._followers: dict[AccountId, Follower] = {}
        self._follow: Callable[[AccountId], Follower] | None = None

    async def run(self, database: Database, wakeups: Wakeups, relay: Relay, closing: asyncio.Event) -> None:
        """Until `closing` is set: then every socket is told to connect elsewhere."""
        ground = Ground(database, wakeups, relay)
        async with background() as tasks:

            def follow(account_id: AccountId) -> Follower:
                follower = Follower(ground, account_id)
                tasks.start(self._followed(account_id, follower))
                return follower

            self._follow = follow
            try:
                await closing.wait()
            finally:
                self._follow = None
                for follower in self._followers.values():
                    follower.audience.close(GOING_AWAY)

    @contextlib.asynccontextmanager
    async def place(self, account_id: AccountId) -> AsyncGenerator[Follower]:
        """When the block begins, all that happens to the account's jobs from here on can be told.

        Raises TooManySockets, NoSocketLeft.
        """
        with self.places.held(account_id):
            follower = self._follower(account_id)
            with follower.visited():
                try:
                    async with asyncio.timeout(READY_SECONDS):
                        await follower.ready.wait()
                except TimeoutError:
                    raise NoSocketLeft("jobs cannot be followed just now; try again", retry_after=5) from None
                yield follower

    def submitted(self, account_id: AccountId, job_id: JobId, prompt_id: str, client_id: str | None) -> None:
        """A prompt was accepted by this process; call it right after the commit."""
        follower = self._followers.get(account_id)
        if follower is not None:
            follower.submitted(Run(job_id, prompt_id, client_id))

    def maker_of(self, account_id: AccountId, file: File) -> JobId | None:
        """The account's job that runs and whose sockets here were told of this file."""
        follower = self._followers.get(account_id)
        return follower.audience.runs.maker_of(file) if follower is not None else None

    def _follower(self, account_id: AccountId) -> Follower:
        known = self._followers.get(account_id)
        if known is not None:
            return known
        if self._follow is None:
            raise NoSocketLeft("the server is going down; connect again", retry_after=1)
        self._followers[account_id] = self._follow(account_id)
        return self._followers[account_id]

    async def _followed(self, account_id: AccountId, follower: Follower) -> None:
        """One account's trouble is not everybody's: its sockets are closed, and a new one begins anew."""
        try:
            await follower.run()
        except Exception:  # noqa: BLE001 - a bug in what is told to one account must not end all others' sockets
            _log.exception("sockets.follower_failed", account=str(account_id))
            follower.audience.close(GOING_AWAY)
        finally:
            del self._followers[account_id]
