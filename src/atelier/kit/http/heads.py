"""HEAD answers wherever GET does: the same headers, and nothing behind them (RFC 9110, section 9.3.2)."""

from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Pure ASGI. A route that has a HEAD of its own keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or _has_its_own(scope):
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(_as_get(scope), _gone, bodiless)


def _has_its_own(scope: Scope) -> bool:
    app: Starlette = scope["app"]
    return any(route.matches(scope)[0] is Match.FULL for route in app.routes)


def _as_get(scope: Scope) -> Scope:
    """Ranges are for GET alone (section 14.2)."""
    return {**scope, "method": "GET", "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}


async def _gone() -> Message:
    """Whoever streams a body sees that nobody waits for it."""
    return {"type": "http.disconnect"}
