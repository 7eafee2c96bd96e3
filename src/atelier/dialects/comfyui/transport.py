"""ComfyUI's own rules of transport, for native paths: its guard against pages of others, and OPTIONS."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from atelier.dialects.paths import Dialect, dialect_of
from atelier.kit.http.origins import differs_on_loopback, visits


class NativeTransport:
    """Pure ASGI. Called by a loopback name, a page of another origin gets an empty 403 (wire contract 1).

    Origins in `listed` may call, as with ComfyUI's --enable-cors-header; following a link is no call of a page.
    """

    def __init__(self, app: ASGIApp, listed: Sequence[str]) -> None:
        self._app = app
        self._listed = frozenset(listed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or dialect_of(scope["path"]) is not Dialect.NATIVE:
            await self._app(scope, receive, send)
        elif self._guarded(scope):
            refused = Response(status_code=403) if scope["type"] == "http" else WebSocketClose(1008)
            await refused(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            await Response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _guarded(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if headers.get("origin") in self._listed:
            return False
        return differs_on_loopback(headers) and not visits(scope["type"], scope.get("method", ""), headers)
