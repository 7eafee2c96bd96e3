"""Few pictures are in memory at a time, and of large ones one: who wants to decode another waits for a turn."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from atelier.kit.errors import Kind, Refusal

SMALL = 4 * 1024 * 1024
"""Pixels; larger pictures are decoded one at a time, these few at a time."""

SMALL_AT_ONCE = 3
PATIENCE = 30.0


class PicturesBusy(Refusal):
    """Too many pictures are being decoded."""

    kind = Kind.BUSY
    code = "pictures_busy"


class Turns:
    """One per process and purpose. `patience` is how many seconds somebody waits for a turn."""

    def __init__(self, patience: float = PATIENCE, at_once: int = SMALL_AT_ONCE) -> None:
        self._patience = patience
        self._small = asyncio.Semaphore(at_once)
        self._large = asyncio.Semaphore(1)

    @asynccontextmanager
    async def turn(self, count: int) -> AsyncGenerator[None]:
        """Held while a picture of so many pixels is in memory. Raises PicturesBusy."""
        slots = self._small if count <= SMALL else self._large
        try:
            async with asyncio.timeout(self._patience):
                await slots.acquire()
        except TimeoutError:
            raise PicturesBusy("Many pictures are being made; try again.", retry_after=5) from None
        try:
            yield
        finally:
            slots.release()
