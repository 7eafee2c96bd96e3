"""A server that is asked to give back memory does so when it has no work of ours; nobody's run is disturbed."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.dispatch.context import Context
from atelier.fleet.store import freeing
from atelier.fleet.store.freeing import FreeAsked
from atelier.kit.database import AWAY
from atelier.kit.ids import ServerId

CALM_SECONDS = 30.0
SOON_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class Freed(Protocol):
    """A driver, as far as its memory is concerned."""

    client: ComfyClient

    @property
    def idle(self) -> bool:
        """Whether its server answers and has no work of ours."""
        ...

    def unloaded(self) -> None:
        """Nothing is loaded there any more."""
        ...


class Freeing:
    """Of all servers that one dispatcher drives."""

    def __init__(self, context: Context, drivers: Mapping[ServerId, Freed]) -> None:
        self._context = context
        self._drivers = drivers

    async def run(self) -> None:
        """Obey until cancelled; a server that works is looked at again twice a second."""
        with self._context.wakeups.subscribe("free") as woken:
            while True:
                left = await self._round()
                await woken.wait(SOON_SECONDS if left else CALM_SECONDS)

    async def _round(self) -> bool:
        """True when wishes are left for later."""
        try:
            async with self._context.database.autocommit() as connection:
                wishes = await freeing.asked(connection, self._context.me)
            idle = [
                wish for wish in wishes if wish.server_id in self._drivers and self._drivers[wish.server_id].idle
            ]
            async with asyncio.TaskGroup() as group:
                for wish in idle:
                    group.create_task(self._free(wish, self._drivers[wish.server_id]))
        except AWAY as error:
            _log.info("free.not_seen", reason=str(error))
            return True
        return bool(wishes)

    async def _free(self, wish: FreeAsked, driver: Freed) -> None:
        try:
            await driver.client.free(unload_models=wish.unload_models, free_memory=wish.free_memory)
        except ComfyError as error:
            _log.info("server.not_freed", server=wish.server_id, reason=str(error))
            return
        if wish.unload_models:
            driver.unloaded()
        try:
            async with self._context.database.autocommit() as connection:
                await freeing.done(connection, wish)
        except AWAY as error:
            _log.info("server.freed_not_saved", server=wish.server_id, reason=str(error))
