"""No exception reaches a client as itself: refusals keep their words, the rest is logged and becomes a 500."""

import psycopg
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atelier.kit.errors import Refusal
from atelier.kit.http import problems
from atelier.kit.http.problems import Envelopes, Problem

_log = structlog.get_logger(__name__)


def handle_refusals(app: FastAPI, envelopes: Envelopes) -> None:
    """Give refusals, unknown paths and wrong methods the envelope of the path that they were asked on."""

    async def refused(request: Request, error: Exception) -> Response:
        return envelopes.answer(request.scope["path"], _problem(error, request))

    for kind in (Refusal, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, refused)


def _problem(error: Exception, request: Request) -> Problem:
    match error:
        case Refusal():
            return problems.from_refusal(error)
        case HTTPException(status_code=405):
            allowed = ", ".join(_allowed(request)) or (error.headers or {}).get("Allow", "")
            return problems.from_status(405, {"Allow": allowed})
        case HTTPException(status_code=404):
            return Problem(404, "not_found", "There is nothing at this path: /openapi.json lists what there is.")
        case HTTPException():
            return problems.from_status(error.status_code, error.headers)
        case RequestValidationError():
            return Problem(400, "invalid_request", _first_fault(error))
        case _:
            raise error


def _allowed(request: Request) -> list[str]:
    """The methods of all routes at this path; the router itself knows only those of the first."""
    app: FastAPI = request.app
    found: set[str] = set()
    for route in app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _first_fault(error: RequestValidationError) -> str:
    [fault, *_] = error.errors()
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"


class ErrorBoundary:
    """The last line: it logs what nobody expected and answers without internals, unless the answer has begun."""

    def __init__(self, app: ASGIApp, envelopes: Envelopes) -> None:
        self._app = app
        self._envelopes = envelopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except ClientDisconnect:
            return
        except Exception as error:
            _log.exception("http.unhandled", method=scope["method"], path=scope["path"])
            if started:
                raise
            await self._envelopes.answer(scope["path"], _unexpected(error))(scope, receive, send)


def _unexpected(error: Exception) -> Problem:
    return problems.AWAY if isinstance(error, psycopg.OperationalError) else problems.INTERNAL
