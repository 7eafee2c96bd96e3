"""A body that is made while it is sent ends with its source or with its client, and leaves nothing running."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Emit = Callable[[bytes], Awaitable[None]]
"""Sends bytes of the body; waits while the client does not read."""

Source = Callable[[Emit], Awaitable[bytes]]
"""Emits the body and gives its last piece, which leaves together with the end."""


class Streamed(Response):
    """Runs `source` with the means to emit, and stops it when the client goes."""

    def __init__(
        self,
        source: Source,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self.body = b""
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = None
        self.init_headers(
            {"content-length": "", **{name.lower(): value for name, value in (headers or {}).items()}}
        )
        if not self.headers["content-length"]:
            del self.headers["content-length"]
        self._source = source
        self._last = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def emit(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await self.run(emit, receive)
        await send({"type": "http.response.body", "body": self._last, "more_body": False})

    async def run(self, emit: Emit, receive: Receive) -> None:
        await until_first(self.work(emit), gone(receive))

    async def work(self, emit: Emit) -> None:
        self._last = await self._source(emit)


def copying(chunks: AsyncIterator[bytes]) -> Source:
    """A source that sends `chunks` and closes them, also when it is stopped."""

    async def copy(emit: Emit) -> bytes:
        async with _closed(chunks):
            async for chunk in chunks:
                await emit(chunk)
        return b""

    return copy


async def until_first(*ways: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one is done, then stop the others; what one raises is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def gone(receive: Receive) -> None:
    """Wait for the client to go."""
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _closed(chunks: AsyncIterator[bytes]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
