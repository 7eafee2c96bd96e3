"""GET /ws: who may not come in gets an HTTP answer, and who is in hears of its own prompts (wire contract 7)."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from atelier.dialects.auth import identify
from atelier.dialects.comfyui.envelope import native_envelope
from atelier.dialects.comfyui.features import server_flags
from atelier.dialects.comfyui.follower import Follower
from atelier.dialects.comfyui.layouts import PLAIN, event, reader_of
from atelier.dialects.comfyui.sockets import TOO_LOUD, Client, new_sid
from atelier.dialects.services import Services
from atelier.jobs import native
from atelier.kit import clock
from atelier.kit.database import AWAY
from atelier.kit.errors import Refusal
from atelier.kit.http import problems
from atelier.kit.http.problems import Problem

MAX_SID = 1_000

BURST = 100.0
PER_SECOND = 10.0
"""Messages of a client, which has one to send."""


class InvalidClientId(Refusal):
    """No prompt can name so long an address."""

    code = "invalid_client_id"


async def connect(websocket: WebSocket) -> None:
    """A socket from the first knock to the last word."""
    services: Services = websocket.app.state.services
    async with contextlib.AsyncExitStack() as stack:
        try:
            follower, client, remaining = await _let_in(websocket, services, stack)
        except Refusal as refusal:
            await _turn_away(websocket, problems.from_refusal(refusal))
        except AWAY:
            await _turn_away(websocket, problems.AWAY)
        else:
            await websocket.accept()
            follower.audience.join(client, remaining)
            stack.callback(follower.audience.leave, client)
            await _converse(websocket, client, services)


async def no_upgrade(_request: Request) -> Response:
    return PlainTextResponse('No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".', 400)


SOCKETS = tuple(
    route
    for path in ("/ws", "/api/ws")
    for route in (WebSocketRoute(path, connect), Route(path, no_upgrade, include_in_schema=False))
)


async def _let_in(
    websocket: WebSocket, services: Services, stack: contextlib.AsyncExitStack
) -> tuple[Follower, Client, int]:
    """Its places are held until `stack` is left; and how much is left to do now, not when it was last read.

    Raises Unauthorized, Forbidden, TooManySockets, NoSocketLeft.
    """
    stack.enter_context(services.hub.places.knocking())
    call = await identify(websocket)
    client = Client(_sid(websocket))
    follower = await stack.enter_async_context(services.hub.place(call.caller.account_id))
    async with services.database.autocommit() as tx:
        return follower, client, await native.remaining(tx, call.caller.account_id)


async def _turn_away(websocket: WebSocket, problem: Problem) -> None:
    await websocket.send_denial_response(native_envelope(problem))


def _sid(websocket: WebSocket) -> str:
    """The first id that the address names; a client that brings none is given one. Raises InvalidClientId."""
    named = next((value for value in websocket.query_params.getlist("clientId") if value), None)
    if named is not None and len(named) > MAX_SID:
        raise InvalidClientId(f"clientId has {MAX_SID} characters at most")
    return named or new_sid()


async def _converse(websocket: WebSocket, client: Client, services: Services) -> None:
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(_write(websocket, client))
        await _read(websocket, client, services)
        writing.cancel()


async def _write(websocket: WebSocket, client: Client) -> None:
    async def send(message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await websocket.send({"type": "websocket.send", kind: message})

    with contextlib.suppress(WebSocketDisconnect):
        farewell = await client.pump(send)
        await websocket.close(farewell.code, farewell.reason)


async def _read(websocket: WebSocket, client: Client, services: Services) -> None:
    """Until the other side is gone. Only the first object that it sends can mean anything (wire contract 7.2)."""
    allowed, since, first = BURST, clock.monotonic(), True
    while (message := await websocket.receive())["type"] == "websocket.receive":
        now = clock.monotonic()
        allowed, since = min(allowed + (now - since) * PER_SECOND, BURST) - 1, now
        if allowed < 0:
            client.close(TOO_LOUD)
        said = _object(message.get("text")) if first else None
        if said is not None:
            first = False
            if said.get("type") == "feature_flags":
                _flags(client, said.get("data"), services)


def _flags(client: Client, said: object, services: Services) -> None:
    client.reader = reader_of(cast("Mapping[str, Any]", said)) if isinstance(said, dict) else PLAIN
    client.put(event("feature_flags", server_flags(services)))


def _object(text: str | None) -> Mapping[str, Any] | None:
    try:
        said = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", said) if isinstance(said, dict) else None
