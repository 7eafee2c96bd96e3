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
    users,
    view,
)
from atelier.dialects.comfyui.routing import twinned
from atelier.dialects.paths import Dialect, dialect_of

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
    *twinned(users.ROUTES),
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
    """What no route of any dialect has; perhaps a pack of some server has it.

    Raises HTTPException 404; 405 for another method than GET on a native path, as ComfyUI has files at every path.
    """
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    if not await passing.pass_on(scope, receive, send):
        reading = scope["method"] in {"GET", "HEAD"} or dialect_of(scope["path"]) is not Dialect.NATIVE
        raise HTTPException(404) if reading else HTTPException(405, headers={"Allow": "GET, HEAD"})
