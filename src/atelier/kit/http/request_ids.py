"""Every answer and every log line of a request bears one id: the client's own if it is sane, else a new one."""

import re
import uuid
from collections.abc import Sequence

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SANE = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class RequestIds:
    """Pure ASGI. `headers` are the names that answers carry the id under; the first is also read from requests."""

    def __init__(self, app: ASGIApp, headers: Sequence[str]) -> None:
        self._app = app
        self._names = tuple(name.lower().encode("ascii") for name in headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = self._given(scope) or uuid.uuid4().hex.encode("ascii")
        structlog.contextvars.bind_contextvars(request_id=request_id.decode("ascii"))
        told = [(name, request_id) for name in self._names]

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        await self._app(scope, receive, tell)

    def _given(self, scope: Scope) -> bytes | None:
        for name, value in scope["headers"]:
            if name == self._names[0] and _SANE.fullmatch(value):
                return bytes(value)
        return None
