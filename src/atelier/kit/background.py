"""Work in the background has an owner: it ends with the block that began it, and its failure ends the block."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any


class Background:
    """Starts tasks in one group and remembers them, to cancel what is left at the end."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()


@contextlib.asynccontextmanager
async def background() -> AsyncGenerator[Background]:
    """Tasks that run while the block does. One that fails cancels the block and comes out as an ExceptionGroup."""
    async with asyncio.TaskGroup() as group:
        owner = Background(group)
        try:
            yield owner
        finally:
            owner.cancel()
