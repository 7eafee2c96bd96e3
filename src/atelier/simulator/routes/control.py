"""Faults are switched and work is counted through routes of our own, which exist only when asked for."""

import asyncio
import os
from typing import Any

from aiohttp import web

from atelier.comfy.catalog import as_object
from atelier.simulator import faults
from atelier.simulator.state import Simulator, simulator_of

KILLED = 137


async def switch_fault(request: web.Request) -> web.Response:
    """POST /control/fault: `{"fault": kind, "times": n, "delay": s, "factor": f}` or `{"off": kind | true}`."""
    simulator = simulator_of(request)
    body = as_object(await request.json()) or {}
    if "off" in body:
        simulator.faults.switch_off(None if body["off"] is True else str(body["off"]))
        simulator.catalogue.show_models(shown=not simulator.faults.is_on("lose_models"))
        return web.json_response({"faults": simulator.faults.as_json()})
    fault = faults.parse(body)
    if fault is None:
        return web.json_response({"error": f"fault must be one of {', '.join(faults.KINDS)}"}, status=400)
    _switch_on(simulator, fault)
    return web.json_response({"faults": simulator.faults.as_json()})


def _switch_on(simulator: Simulator, fault: faults.Fault) -> None:
    """`die` and `drop_socket` happen (after `delay`), `lose_…` also forgets, the others stay on."""
    if fault.kind == "die":
        asyncio.get_running_loop().call_later(fault.delay, os._exit, KILLED)
        return
    if fault.kind == "drop_socket":
        asyncio.get_running_loop().call_later(fault.delay, simulator.sockets.abort_all)
        return
    simulator.faults.switch_on(fault)
    if fault.kind == "lose_history":
        simulator.queue.forget_all()
    if fault.kind == "lose_models":
        simulator.catalogue.show_models(shown=False)


async def state(request: web.Request) -> web.Response:
    """GET /control/state: what was executed how often, what was drawn, what is loaded, what is broken."""
    simulator = simulator_of(request)
    shown: dict[str, Any] = {
        "executions": dict(simulator.tally.executions),
        "drawn": simulator.tally.drawn,
        "loads": simulator.shop.memory.loads,
        "loaded": simulator.shop.memory.resident(),
        "sockets": simulator.sockets.count(),
        "queue_remaining": simulator.queue.remaining(),
        "faults": simulator.faults.as_json(),
    }
    return web.json_response(shown)


ROUTES = [web.post("/control/fault", switch_fault), web.get("/control/state", state)]
