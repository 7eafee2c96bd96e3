"""Whoever comes in leaves its credentials at the door: nothing behind it routes, logs or answers with a secret."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from atelier.dialects import paths
from atelier.dialects.credentials import Credential, Means, take
from atelier.kit.http.origins import foreign, host_of, is_loopback, visits

STATE = "credentials"
"""Where in the scope's state the credentials of a request are."""


class Doors:
    """Pure ASGI, outermost but for request ids.

    What a path says beyond its own meaning is taken off as well: the key of `/k/<key>/…`, and `/comfy` before a
    native route, as the editor asks for it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        state = scope.get("state", {})
        found = (*take(scope), *state.get(STATE, ()))
        scope["state"] = {**state, STATE: found}
        paths.come_in(scope)
        by_path = any(one.means is Means.PATH for one in found)
        await self._app(scope, receive, _told_to_one(send, by_path=by_path))


class BoundListener:
    """A listener on loopback whose every request is asked with one key, for clients that can send none.

    No page of somebody else gets in: its address must be called by a loopback name (so that no foreign name that
    resolves to it works), and what a browser says about the asking page must be our own.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._bound = Credential(Means.BOUND, key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            if not _from_here(scope):
                refused = Response(status_code=403) if scope["type"] == "http" else WebSocketClose(1008)
                await refused(scope, receive, send)
                return
            scope["state"] = {**scope.get("state", {}), STATE: (self._bound,)}
        await self._app(scope, receive, send)


def _told_to_one(send: Send, *, by_path: bool) -> Send:
    """What says nothing of caches is kept by none for others: who asked, many of them do not see in a request.

    Where a key is in the address (`by_path`), the browser tells nobody that address.
    """

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            headers.setdefault("Cache-Control", "private, no-cache")
            if by_path:
                headers["Referrer-Policy"] = "no-referrer"
            message["headers"] = headers.raw
        await send(message)

    return tell


def _from_here(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    if not is_loopback(host_of(headers.get("host", ""))[0]):
        return False
    return not foreign(headers) or visits(scope["type"], scope.get("method", ""), headers)
