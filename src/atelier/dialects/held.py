"""An answer may wait for its job's end: no connection of the database is held, and nothing outlives the client."""

import asyncio
import contextlib

from starlette.requests import ClientDisconnect, Request

from atelier.dialects.auth import Call
from atelier.jobs import service as jobs
from atelier.jobs.model import Job
from atelier.kit import clock
from atelier.kit.database import AWAY
from atelier.kit.http.sse import TooManyStreams
from atelier.kit.http.streamed import gone, until_first

LOOK_SECONDS = 2.0
"""A wake-up that was lost is made up for within these."""


async def ended(request: Request, call: Call, job: Job, seconds: float) -> Job:
    """The job as soon as it has ended, or as it is after `seconds`; earlier where this process stops.

    Who waits already as often as it may, waits no more. Raises ClientDisconnect.
    """
    if seconds <= 0 or job.state.terminal:
        return job
    with contextlib.ExitStack() as slot:
        try:
            slot.enter_context(call.services.streams.held(call.caller.account_id))
        except TooManyStreams:
            return job
        look = _Look(call, job)
        leaving = asyncio.Event()
        await until_first(look.until(seconds), _gone(request, leaving), _set(call.services.closing))
    if leaving.is_set():
        raise ClientDisconnect
    return look.job


class _Look:
    """`job` as it was read last."""

    def __init__(self, call: Call, job: Job) -> None:
        self.job = job
        self._services = call.services

    async def until(self, seconds: float) -> None:
        until = clock.monotonic() + seconds
        with self._services.wakeups.subscribe(f"job:{self.job.id}") as woken:
            while not self.job.state.terminal and (left := until - clock.monotonic()) > 0:
                with contextlib.suppress(*AWAY):  # it may be back for the next look
                    async with self._services.database.autocommit() as tx:
                        self.job = await jobs.read(tx, self.job.account_id, self.job.id)
                if not self.job.state.terminal:
                    await woken.wait(min(left, LOOK_SECONDS))


async def _gone(request: Request, leaving: asyncio.Event) -> None:
    await gone(request.receive)
    leaving.set()


async def _set(event: asyncio.Event) -> None:
    await event.wait()
