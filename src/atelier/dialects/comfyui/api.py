"""All routes of the native API; the hottest are matched first."""

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from atelier.dialects.comfyui import (
    catalogue,
    closed,
    control,
    extensions,
    history,
    internal,
    jobs,
    models,
    passing,
    prompts,
    queue,
    socket,
    system,
    uploads,
    view,
)
from atelier.dialects.comfyui.routing import twinned

TWINNED: tuple[BaseRoute, ...] = (
    *twinned(prompts.ROUTES),
    *twinned(history.ROUTES),
    *twinned(view.ROUTES),
    *twinned(queue.ROUTES),
    *twinned(control.ROUTES),
    *twinned(catalogue.ROUTES),
    *twinned(system.ROUTES),
    *twinned(extensions.ROUTES),
    *twinned(models.ROUTES),
    *twinned(uploads.ROUTES),
)

ROUTES: tuple[BaseRoute, ...] = (
    *TWINNED,
    *socket.SOCKETS,
    *jobs.PREFIXED,
    *extensions.PREFIXED,
    *extensions.BARE,
    *internal.BARE,
    *closed.PREFIXED,
)


async def beyond(scope: Scope, receive: Receive, send: Send) -> None:
    """What no route of any dialect has; `paths.dialect_of` says whose it is. Raises HTTPException 404.

    Perhaps a pack of some server has it.
    """
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    if not await passing.pass_on(scope, receive, send):
        raise HTTPException(404)
