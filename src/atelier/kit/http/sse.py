"""A stream of server-sent events lives with its request and ends with its source, its client or the process."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from fastapi.sse import format_sse_event
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from atelier.kit.errors import Kind, Refusal

KEEPALIVE = b": keepalive\n\n"

Emit = Callable[[bytes], Awaitable[None]]
"""Sends encoded events; waits while the client does not read."""


class TooManyStreams(Refusal):
    """So many streams are open already; close one, or poll."""

    kind: ClassVar[Kind] = Kind.BUSY
    code: ClassVar[str] = "too_many_streams"


def encode(event: str, data: str) -> bytes:
    """One event on the wire; `data` is JSON already."""
    return format_sse_event(event=event, data_str=data)


class StreamSlots:
    """At most `per_owner` open streams for each owner of streams, in this process."""

    def __init__(self, per_owner: int) -> None:
        self._per_owner = per_owner
        self._open: Counter[Hashable] = Counter()

    def check(self, owner: Hashable) -> None:
        """Raises TooManyStreams."""
        if self._open[owner] >= self._per_owner:
            raise TooManyStreams(
                f"{self._per_owner} event streams are open already; close one or poll.", retry_after=5
            )

    @contextlib.contextmanager
    def held(self, owner: Hashable) -> Generator[None]:
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


class EventStream(Response):
    """Runs `source` with the means to emit, and stops it when the client goes or `closing` is set."""

    media_type = "text/event-stream"

    def __init__(
        self,
        source: Callable[[Emit], Awaitable[None]],
        closing: asyncio.Event,
        slot: AbstractContextManager[None],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._source = source
        self._closing = closing
        self._slot = slot
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def emit(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        with self._slot:
            await self._until_first(self._run(emit), _gone(receive), _set(self._closing))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _run(self, emit: Emit) -> None:
        await self._source(emit)

    @staticmethod
    async def _until_first(*ways: Coroutine[Any, Any, None]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(event: asyncio.Event) -> None:
    await event.wait()
