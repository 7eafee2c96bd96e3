"""Model files are told by the names that loaders offer, of all servers together; never by their paths."""

import json
import posixpath
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from atelier.comfy.catalog import as_list, as_object
from atelier.comfy.folders import FOLDERS, LEGACY, NOT_MODELS
from atelier.dialects.auth import Call
from atelier.dialects.comfyui.copies import Copy
from atelier.dialects.comfyui.reach import Reach
from atelier.dialects.comfyui.routing import get
from atelier.fleet.model import Server

WITH_METADATA = ".safetensors"

Files = Mapping[str, Mapping[str, int]]


async def embeddings(_: Request, call: Call) -> Response:
    """Names without their endings."""
    files = await _files(call)
    return JSONResponse([posixpath.splitext(name)[0] for name in files.get("embeddings", {})])


async def folders(_: Request, call: Call) -> Response:
    return JSONResponse(folder_names(await _files(call)))


async def files_in(request: Request, call: Call) -> Response:
    """404 without a body for a folder that no server has."""
    found = _folder(request, await _files(call))
    return Response(status_code=404) if found is None else JSONResponse(list(found))


async def sized_folders(_: Request, call: Call) -> Response:
    """Where a folder lies is not told: each is called as it stands in ComfyUI's own tree."""
    names = [name for name in folder_names(await _files(call)) if name not in NOT_MODELS]
    return JSONResponse([{"name": name, "folders": [place_of(name)]} for name in names])


async def sized_files(request: Request, call: Call) -> Response:
    """Sizes in bytes (0: no server says); when a file was made is not known."""
    found = _folder(request, await _files(call))
    if found is None:
        return Response(status_code=404)
    told = [
        {"name": name, "pathIndex": 0, "modified": 0, "created": 0, "size": size} for name, size in found.items()
    ]
    return JSONResponse(told)


async def preview(request: Request, call: Call) -> Response:
    """The picture beside a model file on a server that has it; 404 without a body where there is none."""
    folder, name = _named(request), str(request.path_params["file"])
    reach = call.services.reach
    if reach is None or name not in (await _files(call)).get(folder, {}):
        return Response(status_code=404)
    for server in _holders(reach, folder, name)[:2]:
        copy = await _preview(call, reach, server, folder, name)
        if copy is not None and copy.status == 200:
            return Response(copy.body, media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})
    return Response(status_code=404)


async def metadata(request: Request, call: Call) -> Response:
    """What is written in the head of a file (`__metadata__`), told by a server that has it."""
    folder, name = _named(request), request.query_params.get("filename", "")
    reach = call.services.reach
    known = name.endswith(WITH_METADATA) and name in (await _files(call)).get(folder, {})
    if reach is None or not known:
        return Response(status_code=404)
    path, query = f"/view_metadata/{folder}", urlencode({"filename": name})
    copy = await call.services.shelf.copies.latest(reach, _holders(reach, folder, name), path, query=query)
    told = _document(copy)
    return Response(status_code=404) if as_object(told) is None else JSONResponse(told)


def folder_names(files: Files) -> list[str]:
    """ComfyUI's own, then those that packs of some server added."""
    return list(dict.fromkeys((*FOLDERS, *files)))


def place_of(folder: str) -> str:
    return f"models/{folder}"


async def _files(call: Call) -> Files:
    return (await call.services.shelf.catalogue(call.services.intake.fleet)).files


def _named(request: Request) -> str:
    """The folder that the path names, also by the name that it had before (folder_paths.map_legacy)."""
    name = str(request.path_params["folder"])
    return LEGACY.get(name, name)


def _folder(request: Request, files: Files) -> Mapping[str, int] | None:
    name = _named(request)
    return files.get(name, {}) if name in FOLDERS or name in files else None


def _holders(reach: Reach, folder: str, name: str) -> list[Server]:
    """Servers that have the file and can be asked now."""
    inventories = {one.digest: one for one in reach.fleet.inventories()}
    having = {digest for digest, one in inventories.items() if name in one.files.get(folder, {})}
    return [server for server in reach.servers() if server.inventory_digest in having]


async def _preview(call: Call, reach: Reach, server: Server, folder: str, name: str) -> Copy | None:
    """Where in its folder the file lies, each server knows for itself (app/model_manager.py)."""
    copies = call.services.shelf.copies
    listed = _document(await copies.latest(reach, [server], f"/experiment/models/{folder}", of=server.id))
    entries = [one for one in map(as_object, as_list(listed) or ()) if one and one.get("name") == name]
    index = entries[0].get("pathIndex") if entries else None
    if not isinstance(index, int):
        return None
    path = f"/experiment/models/preview/{folder}/{index}/{name}"
    return await copies.latest(reach, [server], path, of=server.id)


def _document(copy: Copy | None) -> Any:
    """The JSON that a server answered; None for anything else."""
    if copy is None or copy.status != 200:
        return None
    try:
        return cast("object", json.loads(copy.body))
    except (ValueError, RecursionError):
        return None


ROUTES = [
    get("/embeddings", embeddings),
    get("/models", folders),
    get("/models/{folder}", files_in),
    get("/experiment/models", sized_folders),
    get("/experiment/models/{folder}", sized_files),
    get("/experiment/models/preview/{folder}/{path_index}/{file:path}", preview),
    get("/view_metadata/{folder}", metadata),
]
