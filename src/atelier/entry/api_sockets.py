"""What the other side of a socket does not read, or sends without end, costs a bounded piece of memory."""

import asyncio
import logging
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

MAX_MESSAGE = 64 * 1024
"""Bytes; clients send feature flags only."""

MAX_PIECES = 64
"""Frames of one message."""

PING_SECONDS = 20.0
SEGMENT = 64 * 1024
"""Bytes that are held back at most; then the transport says whether it can take more."""

CLOSE_SECONDS = 5.0
"""So long the other side may take to read our goodbye and to answer it."""

_QUIET = logging.getLogger("atelier.sockets")
_QUIET.setLevel(logging.WARNING)


class Corked:
    """A transport to which what is written within one turn of the loop leaves together, as one segment."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)
        self._size += len(data)
        if self._size > SEGMENT:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        written, self._written, self._size = self._written, [], 0
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))


class ApiSockets(WebSocketsSansIOProtocol):
    """uvicorn's protocol over websockets, without compression; a connection that is stuck is cut in the end."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.logger = _QUIET  # uvicorn's own lines have the whole query
        self._cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", Corked(self.transport, self.loop))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn, but a goodbye does not wait behind what is not read, and none is sent twice."""
        if self.handshake_complete and self.close_sent and self.initial_response is None:
            raise ClientDisconnected
        if message["type"] == "websocket.close":
            self.writable.set()
            self._cut_soon()
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # else uvicorn logs each refusal as an error of the application

    def handle_ping(self) -> None:
        """Who does not read our answers gets none."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MAX_PIECES:
            super().handle_cont(event)
        else:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._cut_soon()

    def _cut_soon(self) -> None:
        if self._cut is None:
            self._cut = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
