"""Prompts of ours that no attempt stands behind any more are stopped; those of others are left alone.

They come from requests that a dispatcher sent late, after it had lost its lease, and from runs that were given up.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection

import psycopg
import structlog

from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.dispatch.context import Context
from atelier.jobs.store import claims
from atelier.kit.ids import ServerId, parse_uuid

CALM_SECONDS = 60.0
SETTLE_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Strays:
    """Looks at the server's queue when it holds more than we know of, and once a minute in any case."""

    def __init__(self, context: Context, client: ComfyClient, server_id: ServerId) -> None:
        self._context = context
        self._client = client
        self._server_id = server_id
        self._look = asyncio.Event()
        self.stopped = 0

    def counted(self, remaining: int, known: int) -> None:
        """The server says how many prompts it holds."""
        if remaining > known:
            self._look.set()

    def look_now(self) -> None:
        self._look.set()

    async def run(self, known: Callable[[], Collection[str]]) -> None:
        """Watch until cancelled; `known` gives the prompts of living attempts."""
        self._look.set()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALM_SECONDS):
                    await self._look.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._look.clear()
            try:
                await self._sweep(known)
            except (ComfyError, psycopg.Error, OSError) as error:
                _log.info("strays.not_seen", server=self._server_id, reason=str(error))

    async def _sweep(self, known: Callable[[], Collection[str]]) -> None:
        queue = await self._client.queue()
        here = {item.prompt_id for item in (*queue.running, *queue.pending)} - set(known())
        ids = [prompt for prompt in map(parse_uuid, here) if prompt is not None]
        if not ids:
            return
        async with self._context.database.transaction() as tx:
            dead = await claims.dead_prompts(tx, ids)
        for prompt in dead:
            await self._client.delete([str(prompt)])
            await self._client.interrupt(str(prompt))
            self.stopped += 1
            _log.warning("stray.stopped", server=self._server_id, prompt=str(prompt))
