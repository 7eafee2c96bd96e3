"""The one WebSocket to ONE ComfyUI server: flags first, always drained, made again when it breaks."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import aiohttp
from yarl import URL

from atelier.comfy.errors import LostServer
from atelier.comfy.messages import Message, Status, parse_binary, parse_text
from atelier.comfy.wire import NO_HEADERS, lost_by_status, sorted_failures, without_origin
from atelier.kit.clock import monotonic

MAX_FRAME = 64 * 1024 * 1024
FIRST_DELAY = 0.25
LONGEST_DELAY = 15.0
STEADY = 5.0
"""Seconds that a connection must have lived for the next delay to start small again."""

_FLAGS = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})


@dataclass(frozen=True, slots=True)
class Connected:
    """Messages flow from now on. Nothing of what came before is replayed (behaviour 11)."""

    epoch: int
    queue_remaining: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """No messages until the next Connected. Also sent for each try that failed.

    `epoch` is that of the last connection, 0 when there was none yet.
    """

    reason: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Refused:
    """/ws answered, but not as a WebSocket: fall back to polling. It is still tried again, slowly."""

    status: int


Event = Connected | Disconnected | Refused | Message

Handle = Callable[[Event, str | bytes], None]
"""Called with every event and the frame that it was read from; empty for those of the connection itself."""


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ComfySocket:
    """One socket for one `client_id`: two at a time with one id would both go silent (behaviour 10)."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        client_id: str,
        headers: Mapping[str, str] = NO_HEADERS,
        max_frame: int = MAX_FRAME,
        connect_timeout: float = 10.0,
        heartbeat: float = 40.0,
    ) -> None:
        """Times in seconds. Half of `heartbeat` without an answer to a ping ends the connection.

        It is long, because a server that loads a model answers nothing for many seconds.
        """
        self._session = session
        self._url = (URL(url.rstrip("/")) / "ws").with_query(clientId=client_id)
        self._headers = without_origin(headers)
        self._max_frame = max_frame
        self._connect_timeout = connect_timeout
        self._heartbeat = heartbeat
        self._epoch = 0

    async def listen(self, handle: Handle) -> NoReturn:
        """Call `handle` with every event, in order, until cancelled. What `handle` raises ends it."""
        failures = 0
        while True:
            began = monotonic()
            try:
                await self._once(handle)
            except _Unusable as unusable:
                handle(Refused(unusable.status), "")
            except LostServer as lost:
                handle(Disconnected(str(lost), self._epoch), "")
            failures = 0 if monotonic() - began > STEADY + self._connect_timeout else failures
            await asyncio.sleep(reconnect_delay(failures))
            failures += 1

    async def _once(self, handle: Handle) -> None:
        """From opening one socket to its end; it is closed when this returns, before another is opened."""
        async with self._open() as socket:
            with sorted_failures():
                async with asyncio.timeout(self._connect_timeout):
                    await socket.send_str(_FLAGS)
                    remaining = await _greeting(socket)
            self._epoch += 1
            handle(Connected(self._epoch, remaining), "")
            with sorted_failures():
                await _drain(socket, handle)
        raise LostServer(f"the server closed the socket ({socket.close_code})")

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        async with aiohttp.ClientSession(
            connector=self._session.connector, connector_owner=False, middlewares=(_no_redirects,)
        ) as session:
            with sorted_failures():
                async with asyncio.timeout(self._connect_timeout):
                    socket = await self._handshake(session)
            try:
                yield socket
            finally:
                await socket.close()

    async def _handshake(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        try:
            return await session.ws_connect(
                self._url,
                headers=self._headers,
                max_msg_size=self._max_frame,
                heartbeat=self._heartbeat,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),  # pyright: ignore[reportCallIssue] - attrs class, typed by a private decorator
            )
        except aiohttp.WSServerHandshakeError as error:
            lost = lost_by_status(error.status, error.headers or {})
            raise lost or _Unusable(error.status) from error


async def _no_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A redirect would carry this server's credentials to another host."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, (), status=response.status, headers=response.headers
        )
    return response


async def _greeting(socket: aiohttp.ClientWebSocketResponse) -> int:
    """The queue length in the first message, which is always a status (wire contract 7.1)."""
    while True:
        frame = await socket.receive()
        message = _parsed(frame)
        if isinstance(message, Status):
            return message.queue_remaining
        if frame.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            raise LostServer("the server closed the socket before it said anything")


async def _drain(socket: aiohttp.ClientWebSocketResponse, handle: Handle) -> None:
    async for frame in socket:
        message = _parsed(frame)
        if message is not None:
            handle(message, frame.data)


def _parsed(frame: aiohttp.WSMessage) -> Message | None:
    match frame.type, frame.data:
        case aiohttp.WSMsgType.TEXT, str() as text:
            return parse_text(text)
        case aiohttp.WSMsgType.BINARY, bytes() as data:
            return parse_binary(data)
        case _:
            return None


def reconnect_delay(failures: int) -> float:
    """Seconds: 0.25 after a steady connection, doubling to 15; up to half less, so that dispatchers spread."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not secrets
