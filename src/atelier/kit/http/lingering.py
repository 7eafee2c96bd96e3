"""Who answers before a request's body has come reads some more of it, so that the answer arrives, and hangs up.

A server that closed at once would reset the connection, and clients that read only after they have written would
lose the answer; one that reads on to the end reads ten gigabytes for a 413.
"""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_BYTES = 512 * 1024 * 1024
LINGER_SECONDS = 10.0

SMALL_BYTES = 1024 * 1024
"""A body that says to be no longer is read by the server itself, and the connection is used again."""


class Lingering:
    """Pure ASGI, outermost: what it sees is what leaves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_small(scope):
            await self._app(scope, receive, send)
            return
        body = _Incoming(receive)
        early = False

        async def answer(message: Message) -> None:
            nonlocal early
            if message["type"] == "http.response.start" and not body.ended:
                early = True
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            last = early and message["type"] == "http.response.body" and not message.get("more_body", False)
            await send({**message, "more_body": True} if last else message)
            if last:
                await body.linger()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, body.receive, answer)


class _Incoming:
    """What the application and then we read of the request's body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.ended = True
        return message

    async def linger(self) -> None:
        """Read on for a while, and keep nothing."""
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.ended and left > 0:
                    left -= len((await self.receive()).get("body", b""))


def _is_small(scope: Scope) -> bool:
    """Whether the request has no body, or one that says to be small."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return False
    declared = headers.get(b"content-length", b"0")
    return not declared.isdigit() or int(declared) <= SMALL_BYTES
