"""Simulated packs of nodes: what each adds to the editor, and a route of its own that nobody else has.

A pack called `spark` has scripts at /extensions/spark, a template, a translation, a subgraph, a rule for an old
class, and /spark/echo and /spark/notes/{name}. A server without packs is as old as the recorded one.
"""

import hashlib
import json
import uuid
from typing import Any

from aiohttp import web

from atelier.simulator.state import Simulator, simulator_of

SCRIPT = """import { app } from "../../scripts/app.js";
app.registerExtension({ name: "simulated.%s" });
"""
STYLE = ".simulated-%s { color: teal; }\n"
TEMPLATE = "simulated start"
_REMEMBERED: web.AppKey[dict[str, bytes]] = web.AppKey("notes", dict[str, bytes])


def add_routes(app: web.Application, simulator: Simulator) -> None:
    app[_REMEMBERED] = {}
    for pack in simulator.config.packs:
        app.add_routes(
            [
                web.get(f"/extensions/{pack}/{{file}}", _file),
                web.get(f"/api/workflow_templates/{pack}/{{file}}", _template),
                *(web.route("*", f"{prefix}/{pack}/echo", _echo) for prefix in ("", "/api")),
                *(web.put(f"{prefix}/{pack}/notes/{{name}}", _note) for prefix in ("", "/api")),
                *(web.get(f"{prefix}/{pack}/notes/{{name}}", _noted) for prefix in ("", "/api")),
            ]
        )
    if simulator.config.packs:
        app.add_routes(_NEWER)


async def extensions(request: web.Request) -> web.Response:
    packs = simulator_of(request).config.packs
    return web.json_response([f"/extensions/{pack}/{pack}.js" for pack in packs])


async def translations(request: web.Request) -> web.Response:
    packs = simulator_of(request).config.packs
    names = {pack: {"display_name": f"Simulated {pack}"} for pack in packs}
    return web.json_response({"en": {"nodeDefs": names}} if packs else {})


async def templates(request: web.Request) -> web.Response:
    return web.json_response({pack: [TEMPLATE] for pack in simulator_of(request).config.packs})


async def _subgraphs(request: web.Request) -> web.Response:
    return web.json_response({pack: _blueprint(pack) for pack in simulator_of(request).config.packs})


async def _subgraph(request: web.Request) -> web.Response:
    pack = request.match_info["name"]
    if pack not in simulator_of(request).config.packs:
        return web.Response(status=404)
    return web.json_response({**_blueprint(pack), "data": json.dumps(_subgraph_of(pack))})


async def _replacements(request: web.Request) -> web.Response:
    packs = simulator_of(request).config.packs
    return web.json_response({f"Old {pack}": [{"new_node_id": "EmptyImage"}] for pack in packs})


async def _file(request: web.Request) -> web.Response:
    pack, name = request.path.split("/")[2], request.match_info["file"]
    match name:
        case _ if name == f"{pack}.js":
            return _static(request, SCRIPT % pack, "text/javascript")
        case _ if name == f"{pack}.css":
            return _static(request, STYLE % pack, "text/css")
        case _:
            return web.Response(status=404)


async def _template(request: web.Request) -> web.Response:
    if request.match_info["file"] != f"{TEMPLATE}.json":
        return web.Response(status=404)
    return web.json_response({"nodes": [], "links": [], "version": 0.4})


async def _echo(request: web.Request) -> web.Response:
    """What came, and a cookie that nobody asked for."""
    body = await request.read()
    told: dict[str, Any] = {
        "seed": simulator_of(request).config.seed,
        "method": request.method,
        "path": request.path_qs,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    response = web.json_response(told)
    response.set_cookie("simulated", "1")
    return response


async def _note(request: web.Request) -> web.Response:
    request.app[_REMEMBERED][request.match_info["name"]] = await request.read()
    return web.Response(status=201)


async def _noted(request: web.Request) -> web.Response:
    """What this server alone was told."""
    body = request.app[_REMEMBERED].get(request.match_info["name"])
    return web.Response(status=404) if body is None else web.Response(body=body)


def _static(request: web.Request, text: str, content_type: str) -> web.Response:
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    return web.Response(text=text, content_type=content_type, headers={"ETag": tag, "Set-Cookie": "pack=1"})


def _blueprint(pack: str) -> dict[str, Any]:
    return {"source": "custom_node", "name": f"{pack} blueprint", "info": {"node_pack": f"custom_nodes.{pack}"}}


def _subgraph_of(pack: str) -> dict[str, Any]:
    """The least that the editor takes for a subgraph: one node that stands for an empty one."""
    place: dict[str, Any] = {
        "pos": [0, 0],
        "size": [140, 60],
        "flags": {},
        "order": 0,
        "mode": 0,
        "properties": {},
    }
    name = str(uuid.uuid5(uuid.NAMESPACE_DNS, pack))
    inner: dict[str, Any] = {
        "id": name,
        "name": f"{pack} blueprint",
        "version": 1,
        "revision": 0,
        "state": {"lastGroupId": 0, "lastNodeId": 0, "lastLinkId": 0, "lastRerouteId": 0},
        "inputNode": {"id": -10, "bounding": [0, 0, 120, 60]},
        "outputNode": {"id": -20, "bounding": [400, 0, 120, 60]},
        **{part: [] for part in ("inputs", "outputs", "widgets", "nodes", "groups", "links")},
        **{part: {} for part in ("config", "extra")},
    }
    return {
        "version": 0.4,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [{"id": 1, "type": name, "inputs": [], "outputs": [], **place}],
        "links": [],
        "definitions": {"subgraphs": [inner]},
    }


_NEWER = [
    web.get(f"{prefix}{path}", handler)
    for prefix in ("", "/api")
    for path, handler in (
        ("/global_subgraphs", _subgraphs),
        ("/global_subgraphs/{name}", _subgraph),
        ("/node_replacements", _replacements),
    )
]

ROUTES = [
    web.get("/extensions", extensions),
    web.get("/workflow_templates", templates),
    web.get("/i18n", translations),
]
