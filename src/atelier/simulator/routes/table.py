"""Every route exists with and without /api, and every answer to a mistake is the one of the real server."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from atelier.simulator.routes import catalogue, control, files, packs, prompts, socket, users
from atelier.simulator.state import SIMULATOR

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MISTAKES = (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError)
_IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_TWINNED = (
    *prompts.ROUTES,
    *catalogue.ROUTES,
    *packs.ROUTES,
    *files.ROUTES,
    *users.ROUTES,
    *socket.ROUTES,
)


def add_routes(app: web.Application) -> None:
    app.middlewares.append(like_the_real_one)
    app.add_routes(_TWINNED)
    app.add_routes(_under_api(_TWINNED))
    app.add_routes(catalogue.INTERNAL)
    packs.add_routes(app, app[SIMULATOR])
    if app[SIMULATOR].config.control:
        app.add_routes(control.ROUTES)
    app.router.add_get("/", front_page)
    app.router.add_get("/{anything:.*}", no_such_file)


async def front_page(_request: web.Request) -> web.Response:
    text = (
        "<!doctype html><title>Simulated ComfyUI</title><p>This is a simulated ComfyUI server. It has no editor."
    )
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-cache"})


async def no_such_file(_request: web.Request) -> web.Response:
    """The real server looks for an unknown path among its static files."""
    return web.Response(status=404, content_type="application/octet-stream")


@web.middleware
async def like_the_real_one(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign origins, answer preflights, turn a client's mistake into the 500 text that it is there."""
    if _is_foreign(request):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    try:
        response = await handler(request)
    except _MISTAKES:
        if request.path.endswith("/ws"):
            raise
        return web.Response(status=500, text=prompts.SERVER_ERROR)
    _cache(request, response)
    return response


def _is_foreign(request: web.Request) -> bool:
    """On loopback an Origin of another host, or of another port when both name one, is refused."""
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    here, there = urlsplit(f"//{request.host}"), urlsplit(origin)
    if here.hostname not in LOOPBACK or not there.hostname:
        return False
    if here.hostname != there.hostname:
        return True
    return here.port is not None and there.port is not None and here.port != there.port


def _cache(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.endswith((".js", ".css", "index.json")) and not response.prepared:
        response.headers.setdefault("Cache-Control", "no-cache")
    if request.path.endswith(_IMAGES) and not response.prepared:
        seconds = 86400 if response.status == 200 else 3600
        response.headers.setdefault("Cache-Control", f"public, max-age={seconds}")


def _under_api(routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    return [web.RouteDef(route.method, f"/api{route.path}", route.handler, route.kwargs) for route in routes]
