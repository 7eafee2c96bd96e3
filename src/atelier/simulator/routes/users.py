"""Settings and user files of the one user that a single-user server has, kept in its folder."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from atelier.simulator.folders import normal
from atelier.simulator.state import simulator_of

SETTINGS = "comfy.settings.json"


async def users(_request: web.Request) -> web.Response:
    return web.json_response({"storage": "server", "migrated": True})


async def settings(request: web.Request) -> web.Response:
    return web.json_response(_settings(_root(request)))


async def setting(request: web.Request) -> web.Response:
    return web.json_response(_settings(_root(request)).get(request.match_info["id"]))


async def change_settings(request: web.Request) -> web.Response:
    _merge(_root(request), dict(await request.json()))
    return web.Response()


async def change_setting(request: web.Request) -> web.Response:
    _merge(_root(request), {request.match_info["id"]: await request.json()})
    return web.Response()


async def list_files(request: web.Request) -> web.Response:
    """GET /userdata: paths of one folder, split or with sizes if asked."""
    query = request.query
    if not query.get("dir"):
        return web.Response(status=400, text="Directory not provided")
    folder = _inside(_root(request), query["dir"])
    if folder is None:
        return web.Response(status=403, text="Invalid directory")
    if not folder.is_dir():
        return web.Response(status=404, text="Directory not found")
    found = folder.rglob("*") if query.get("recurse", "").lower() == "true" else folder.glob("*")
    files = sorted(path for path in found if path.is_file())
    if query.get("full_info", "").lower() == "true":
        return web.json_response([_info(path, folder) for path in files])
    names = [path.relative_to(folder).as_posix() for path in files]
    if query.get("split", "").lower() == "true":
        return web.json_response([[name, *name.split("/")] for name in names])
    return web.json_response(names)


async def list_tree(request: web.Request) -> web.Response:
    """GET /v2/userdata: everything below one path, directories first."""
    root = _root(request)
    folder = _inside(root, request.query.get("path", ""), itself=True)
    if folder is None:
        return web.Response(status=400, text="Invalid path")
    if not folder.exists():
        return web.Response(status=404, text="Requested path not found")
    found = sorted(folder.rglob("*"))
    folders = [
        {"name": path.name, "path": path.relative_to(root).as_posix(), "type": "directory"}
        for path in found
        if path.is_dir()
    ]
    return web.json_response([*folders, *(_entry(path, root) for path in found if path.is_file())])


async def read_file(request: web.Request) -> web.StreamResponse:
    path = _named(request, "file")
    if isinstance(path, web.Response):
        return path
    return web.FileResponse(path) if path.is_file() else web.Response(status=404)


async def write_file(request: web.Request) -> web.Response:
    path = _named(request, "file", bad=400)
    if isinstance(path, web.Response):
        return path
    if request.query.get("overwrite") == "false" and path.exists():
        return web.Response(status=409, text="File already exists")
    body = await request.read()
    await asyncio.to_thread(_write, path, body)
    return _stored(request, path)


async def delete_file(request: web.Request) -> web.Response:
    path = _named(request, "file")
    if isinstance(path, web.Response):
        return path
    if not path.is_file():
        return web.Response(status=404)
    await asyncio.to_thread(path.unlink)
    return web.Response(status=204)


async def move_file(request: web.Request) -> web.Response:
    source, target = _named(request, "file"), _named(request, "dest", bad=400)
    if isinstance(source, web.Response):
        return source
    if isinstance(target, web.Response):
        return target
    if not source.is_file():
        return web.Response(status=404)
    if request.query.get("overwrite") == "false" and target.exists():
        return web.Response(status=409, text="File already exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(source.replace, target)
    return _stored(request, target)


def _root(request: web.Request) -> Path:
    root = simulator_of(request).folders.base("user") / "default"
    root.mkdir(parents=True, exist_ok=True)
    return root


def _settings(root: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads((root / SETTINGS).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stored


def _merge(root: Path, changes: dict[str, Any]) -> None:
    (root / SETTINGS).write_text(json.dumps({**_settings(root), **changes}, indent=4), "utf-8")


def _inside(root: Path, name: str, *, itself: bool = False) -> Path | None:
    path = normal(root / name)
    return path if root in path.parents or (itself and path == root) else None


def _named(request: web.Request, part: str, bad: int = 403) -> Path | web.Response:
    """The path that one segment names; what is still escaped is unescaped once more."""
    name = request.match_info[part]
    path = _inside(_root(request), unquote(name) if "%" in name else name)
    return web.Response(status=bad) if path is None else path


def _stored(request: web.Request, path: Path) -> web.Response:
    root = _root(request)
    if request.query.get("full_info", "").lower() == "true":
        return web.json_response(_info(path, root))
    return web.json_response(path.relative_to(root).as_posix())


def _info(path: Path, base: Path) -> dict[str, Any]:
    seen = path.stat()
    return {
        "path": path.relative_to(base).as_posix(),
        "size": seen.st_size,
        "modified": seen.st_mtime,
        "created": seen.st_ctime,
    }


def _entry(path: Path, root: Path) -> dict[str, Any]:
    seen = path.stat()
    where = path.relative_to(root).as_posix()
    return {"name": path.name, "path": where, "type": "file", "size": seen.st_size, "modified": seen.st_mtime}


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


ROUTES = [
    web.get("/users", users),
    web.get("/settings", settings),
    web.post("/settings", change_settings),
    web.get("/settings/{id}", setting),
    web.post("/settings/{id}", change_setting),
    web.get("/userdata", list_files),
    web.get("/v2/userdata", list_tree),
    web.get("/userdata/{file}", read_file),
    web.post("/userdata/{file}", write_file),
    web.delete("/userdata/{file}", delete_file),
    web.post("/userdata/{file}/move/{dest}", move_file),
]
