"""All routes of the native API; the hottest are matched first."""

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from atelier.dialects.comfyui import control, history, jobs, queue
from atelier.dialects.comfyui.routing import twinned

TWINNED: tuple[BaseRoute, ...] = (
    *twinned(history.ROUTES),
    *twinned(queue.ROUTES),
    *twinned(control.ROUTES),
)

ROUTES: tuple[BaseRoute, ...] = (*TWINNED, *jobs.PREFIXED)


async def beyond(scope: Scope, receive: Receive, send: Send) -> None:
    """What no route of any dialect has; `paths.dialect_of` says whose it is. Raises HTTPException 404."""
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    raise HTTPException(404)
