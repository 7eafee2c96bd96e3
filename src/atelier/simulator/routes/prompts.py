"""Prompts are accepted, listed and stopped as the native API does it, slips of the real server included."""

import json
import uuid
from typing import Any, cast

from aiohttp import web

from atelier.comfy import validation_errors as errors
from atelier.comfy.catalog import as_list, as_object
from atelier.comfy.validation import Verdict, validate
from atelier.simulator.catalogue import SEEN_FOR_THEMSELVES
from atelier.simulator.folders import DRIVING, is_file
from atelier.simulator.prompt_queue import Flags, Prompt
from atelier.simulator.state import Simulator, simulator_of


async def prompt_info(request: web.Request) -> web.Response:
    return web.json_response(simulator_of(request).status())


async def submit(request: web.Request) -> web.Response:
    """POST /prompt. Whatever the body is not raises here and becomes ComfyUI's 500 text."""
    simulator = simulator_of(request)
    body: Any = await request.json()
    number = _number(simulator, body)
    if "prompt" not in body:
        return _refused(errors.no_prompt(), {})
    if isinstance(body["prompt"], list) and not body["prompt"]:
        return _refused(errors.no_outputs(), {})
    prompt_id = str(body.get("prompt_id", uuid.uuid4()))
    verdict = _judge(simulator, body)
    extra_data: Any = body.get("extra_data", {})
    if "client_id" in body:
        extra_data["client_id"] = body["client_id"]
    if verdict.error is not None:
        return _refused(verdict.error, verdict.node_errors)
    prompt = Prompt(number, prompt_id, verdict.graph, as_object(extra_data) or {}, verdict.outputs)
    simulator.queue.put(prompt)
    if simulator.faults.use("error_after_enqueue") is not None:
        raise web.HTTPInternalServerError(text=SERVER_ERROR)
    return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})


SERVER_ERROR = "500 Internal Server Error\n\nServer got itself in trouble"


def _number(simulator: Simulator, body: Any) -> float:
    """An explicit number is a float; the counter grows only without one, also for prompts that are refused."""
    if "number" in body:
        return float(body["number"])
    number = next(simulator.numbers)
    return -number if (as_object(body) or {}).get("front") else number


def _judge(simulator: Simulator, body: dict[str, Any]) -> Verdict:
    graph = body["prompt"]
    targets = body.get("partial_execution_targets")
    if targets is not None and not isinstance(targets, list | str):
        raise TypeError
    _refuse_what_no_server_reads(graph)
    return validate(
        cast("dict[str, Any]", graph),
        simulator.catalogue.catalog,
        partial_targets=cast("list[Any] | None", targets),
        ignore=lambda name, place, value: (name, place) in SEEN_FOR_THEMSELVES and _is_there(simulator, value),
        files=lambda _class, _name, value: _unopenable(simulator, value),
    )


def _refuse_what_no_server_reads(graph: object) -> None:
    """Raises for what makes the real server answer 500 text: no object, a class that is no text."""
    nodes = as_object(graph)
    if nodes is None:
        raise TypeError
    for node in nodes.values():
        if as_list((as_object(node) or {}).get("class_type")) is not None:
            raise TypeError


def _unopenable(simulator: Simulator, value: object) -> str | None:
    path = simulator.folders.annotated(value) if isinstance(value, str) else None
    return None if is_file(path) or value == DRIVING else f"Invalid image file: {value}"


def _is_there(simulator: Simulator, value: object) -> bool:
    path = simulator.folders.annotated(value) if isinstance(value, str) else None
    return value == DRIVING or (path is not None and path.exists())


def _refused(error: dict[str, Any], node_errors: dict[str, Any]) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors}, status=400)


async def queue(request: web.Request) -> web.Response:
    return web.json_response(simulator_of(request).queue.snapshot())


async def change_queue(request: web.Request) -> web.Response:
    simulator, body = simulator_of(request), await _object(request)
    if body.get("clear"):
        simulator.queue.clear()
    for prompt_id in body.get("delete", []):
        simulator.queue.delete(prompt_id)
    return web.Response()


async def interrupt(request: web.Request) -> web.Response:
    """A body that is no JSON counts as empty: whatever runs is stopped."""
    try:
        body: Any = await request.json()
    except json.JSONDecodeError:
        body = {}
    simulator_of(request).interrupt(body.get("prompt_id") or None)
    return web.Response()


async def free(request: web.Request) -> web.Response:
    body = await _object(request)
    free_memory = bool(body.get("free_memory", False))
    simulator_of(request).queue.set_flags(Flags(bool(body.get("unload_models", False)), free_memory))
    return web.Response()


async def history(request: web.Request) -> web.Response:
    max_items, offset = request.query.get("max_items"), request.query.get("offset")
    entries = simulator_of(request).queue.history(
        None if max_items is None else int(max_items), -1 if offset is None else int(offset)
    )
    return web.json_response(entries)


async def history_of(request: web.Request) -> web.Response:
    return web.json_response(simulator_of(request).queue.history_of(request.match_info["prompt_id"]))


async def change_history(request: web.Request) -> web.Response:
    simulator, body = simulator_of(request), await _object(request)
    if body.get("clear"):
        simulator.queue.forget_all()
    for prompt_id in body.get("delete", []):
        simulator.queue.forget(prompt_id)
    return web.Response()


async def _object(request: web.Request) -> dict[str, Any]:
    body: Any = await request.json()
    return body if "clear" in body or "delete" in body else dict(body)


ROUTES = [
    web.get("/prompt", prompt_info),
    web.post("/prompt", submit),
    web.get("/queue", queue),
    web.post("/queue", change_queue),
    web.post("/interrupt", interrupt),
    web.post("/free", free),
    web.get("/history", history),
    web.get("/history/{prompt_id}", history_of),
    web.post("/history", change_history),
]
