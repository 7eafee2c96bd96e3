"""What the packs of the fleet's servers bring into the editor comes from a server that has the pack.

All files of one pack come from one server, as long as it answers. The editor's own scripts are not taken from
servers: each of them has another build (contract, section 13). Scripts of packs run in the browser of whoever
opens the editor, with what that person may do here: an operator installs packs with that in mind.
"""

import mimetypes
from collections.abc import Callable
from urllib.parse import unquote

from blake3 import blake3
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from atelier.dialects.auth import Call
from atelier.dialects.comfyui.prepared import answer
from atelier.dialects.comfyui.reach import well
from atelier.dialects.comfyui.routing import get
from atelier.dialects.comfyui.shelf import Added
from atelier.fleet.model import Server
from atelier.fleet.pages import CORE, SCRIPTS, TEMPLATES, Pages, module_of
from atelier.kit.http.answers import json_response

LONGEST_PATH = 1000

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""What browsers insist on, whatever the system of a server says."""

Has = Callable[[Pages, str], bool]


async def extensions(_: Request, call: Call) -> Response:
    """Scripts of packs on servers that work, whose files can be had."""
    added = await _added(call)
    return JSONResponse([path for path in added.pages.extensions if module_of(path) != CORE])


async def extension_file(request: Request, call: Call) -> Response:
    return await _file(request, call, SCRIPTS, _has_scripts)


async def translations(request: Request, call: Call) -> Response:
    return await answer(request, (await _added(call)).translations)


async def templates(request: Request, call: Call) -> Response:
    return await answer(request, (await _added(call)).templates)


async def template_file(request: Request, call: Call) -> Response:
    """An example workflow of a pack, or the picture of one."""
    return await _file(request, call, TEMPLATES, _has_templates)


async def subgraphs(request: Request, call: Call) -> Response:
    """Blueprints without their data."""
    return await answer(request, (await _added(call)).subgraphs)


async def subgraph(request: Request, call: Call) -> Response:
    """One with its data; 404 without a body for an unknown one."""
    found = (await _added(call)).pages.subgraphs.get(request.path_params["subgraph_id"])
    return Response(status_code=404) if found is None else json_response(found)


async def replacements(request: Request, call: Call) -> Response:
    return await answer(request, (await _added(call)).replacements)


async def _added(call: Call) -> Added:
    services = call.services
    return await services.shelf.added(services.database, well(services.intake.fleet.servers))


async def _file(request: Request, call: Call, base: str, has: Has) -> Response:
    services, module = call.services, str(request.path_params["module"])
    path = f"{base}{module}/{request.path_params['path']}"
    if services.reach is None or not is_plain(path) or module == CORE:
        return Response(status_code=404)
    told = await services.shelf.pages(services.database)
    having = [one for one in services.reach.servers() if one.id in told and has(told[one.id], module)]
    copy = await services.shelf.copies.latest(services.reach, _first(having), path)
    if copy is not None and copy.status == 200:
        return _shown(copy.body, path, request)
    came_along = [told[one.id].files for one in well(services.intake.fleet.servers) if one.id in told]
    text = next((files[path] for files in came_along if path in files), None)
    if text is not None:
        return _shown(text.encode(), path, request)
    return Response(status_code=404, headers={"Cache-Control": "no-cache"})


def _first(servers: list[Server]) -> list[Server]:
    """By id: everybody is sent to the same one."""
    return sorted(servers, key=lambda one: one.id)


def _shown(body: bytes, path: str, request: Request) -> Response:
    tag = f'"{blake3(body).hexdigest(16)}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=type_of(path))


def type_of(path: str) -> str:
    ending = f".{path.rpartition('.')[2].lower()}"
    return TYPES.get(ending) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def is_plain(path: str) -> bool:
    """Whether it names something below where it begins, on any system: no dots, no empty parts, no backslashes."""
    parts = path.removeprefix("/").split("/")
    return len(path) <= LONGEST_PATH and path.isprintable() and all(map(_is_name, parts))


def _is_name(part: str) -> bool:
    """Also a name that a server would decode once more stays what it is."""
    return unquote(part).strip(". ") != "" and not set(unquote(part)) & {"/", "\\", "\0", ":"}


def _has_scripts(pages: Pages, module: str) -> bool:
    return any(unquote(module_of(path)) == module for path in pages.extensions)


def _has_templates(pages: Pages, module: str) -> bool:
    return module in pages.templates


ROUTES = [
    get("/extensions", extensions),
    get("/i18n", translations),
    get("/workflow_templates", templates),
    get("/global_subgraphs", subgraphs),
    get("/global_subgraphs/{subgraph_id}", subgraph),
    get("/node_replacements", replacements),
]

PREFIXED = [get("/api/workflow_templates/{module}/{path:path}", template_file)]
"""Only with the prefix (contract, section 1)."""

BARE = [get("/extensions/{module}/{path:path}", extension_file)]
"""Only without it."""
