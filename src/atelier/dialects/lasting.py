"""A socket or a stream of events ends with the key or the session that opened it, seconds later at most."""

import asyncio

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atelier.accounts.model import Forbidden, Unauthorized
from atelier.dialects.auth import identify
from atelier.kit.database import AWAY

POLICY_VIOLATION = 1008

_log = structlog.get_logger(__name__)


class Lasting:
    """Pure ASGI. Once an answer lasts, who asked is asked anew every few seconds (`Services.asked_anew`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        one = _One(scope, receive, send)
        await self._app(scope, one.receive, one.send)


class _One:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._lasts = False
        self._ended = False

    async def send(self, message: Message) -> None:
        if self._ended:
            raise ConnectionResetError("its key has ended")
        self._lasts = self._lasts or _begins_to_last(message)
        await self._send(message)

    async def receive(self) -> Message:
        """The next message; a disconnect when the key has ended."""
        while self._lasts and not self._ended:
            try:
                async with asyncio.timeout(self._scope["app"].state.services.asked_anew):
                    return await self._receive()
            except TimeoutError:
                await self._ask_anew()
        if self._ended:
            return {"type": f"{self._scope['type']}.disconnect", "code": POLICY_VIOLATION}
        return await self._receive()

    async def _ask_anew(self) -> None:
        """While PostgreSQL is away nobody is turned out."""
        try:
            await identify(HTTPConnection(self._scope))
        except (Unauthorized, Forbidden):
            _log.info("http.key_ended", path=self._scope["path"])
            if self._scope["type"] == "websocket":
                await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "signed out"})
            self._ended = True
        except AWAY:
            return


def _begins_to_last(message: Message) -> bool:
    match message["type"]:
        case "websocket.accept":
            return True
        case "http.response.start":
            kind = Headers(raw=list(message.get("headers", ()))).get("content-type", "")
            return kind.startswith("text/event-stream")
        case _:
            return False
