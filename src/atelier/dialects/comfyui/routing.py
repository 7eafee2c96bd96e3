"""Every native route is served with and without /api (wire contract 1), and every one of them knows its caller."""

from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atelier.dialects.auth import Call, identify

Endpoint = Callable[[Request, Call], Awaitable[Response]]


def get(path: str, endpoint: Endpoint) -> Route:
    """GET, and HEAD with it."""
    return _route(path, endpoint, "GET", "HEAD")


def post(path: str, endpoint: Endpoint) -> Route:
    return _route(path, endpoint, "POST")


def delete(path: str, endpoint: Endpoint) -> Route:
    return _route(path, endpoint, "DELETE")


def patch(path: str, endpoint: Endpoint) -> Route:
    return _route(path, endpoint, "PATCH")


def every(path: str, endpoint: Endpoint) -> Route:
    """Whatever the method is."""
    return _route(path, endpoint, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def twinned(routes: Iterable[Route]) -> list[Route]:
    """The same routes, then their twins under /api."""
    plain = list(routes)
    twins = [
        Route(f"/api{route.path}", route.endpoint, methods=sorted(route.methods or ()), include_in_schema=False)
        for route in plain
    ]
    return [*plain, *twins]


def _route(path: str, endpoint: Endpoint, *methods: str) -> Route:
    async def answer(request: Request) -> Response:
        return await endpoint(request, await identify(request))

    return Route(path, answer, methods=methods, include_in_schema=False)
