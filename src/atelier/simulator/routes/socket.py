"""A socket is greeted with its address, told what its running prompt does, and then only listened to for flags."""

import asyncio
import uuid

from aiohttp import WSMsgType, web

from atelier.simulator.routes.catalogue import server_features
from atelier.simulator.sockets import Socket, encode, heard
from atelier.simulator.state import Simulator, simulator_of


async def socket(request: web.Request) -> web.StreamResponse:
    simulator = simulator_of(request)
    if simulator.faults.is_on("no_socket"):
        raise web.HTTPNotFound
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    connection = Socket(request.query.get("clientId", "") or uuid.uuid4().hex, ws, request)
    simulator.sockets.open(connection)
    _greet(simulator, connection)
    try:
        await _serve(simulator, connection)
    finally:
        simulator.sockets.close(connection)
    return ws


def _greet(simulator: Simulator, connection: Socket) -> None:
    hello = {"status": simulator.status(), "sid": connection.sid}
    connection.outbox.put_nowait(encode("status", hello))
    node_id = simulator.sockets.executing_for(connection.sid)
    if node_id is not None:
        connection.outbox.put_nowait(encode("executing", {"node": node_id}))


async def _serve(simulator: Simulator, connection: Socket) -> None:
    """Write what comes and read what is said until the other side is gone."""
    async with asyncio.TaskGroup() as group:
        pump = group.create_task(_pump(connection))
        await _listen(simulator, connection)
        pump.cancel()


async def _pump(connection: Socket) -> None:
    try:
        await connection.pump()
    except (ConnectionError, RuntimeError):
        connection.abort()


async def _listen(simulator: Simulator, connection: Socket) -> None:
    """Only the first JSON message counts, and only if it is feature_flags."""
    settled = False
    async for message in connection.ws:
        if settled or message.type is not WSMsgType.TEXT:
            continue
        said = heard(message.data)
        if said is None:
            continue
        settled = True
        if said.is_flags:
            connection.flags = said.flags
            connection.outbox.put_nowait(encode("feature_flags", server_features(simulator)))


ROUTES = [web.get("/ws", socket)]
