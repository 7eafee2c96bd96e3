"""What the server has and what it is, in the shapes of the native API; its device says that it is simulated."""

import io
import platform
import sys
from typing import Any

from aiohttp import web
from PIL import Image

from atelier.comfy.folders import FOLDERS, LEGACY, NOT_MODELS
from atelier.simulator.memory import GIB, size_gb
from atelier.simulator.state import Simulator, simulator_of

VERSION = "0.3.64"
DEVICE = "SIMULATED (no GPU, pictures are drawn)"
_RAM = 32 * GIB


def server_features(simulator: Simulator) -> dict[str, Any]:
    return {"supports_preview_metadata": True, "max_upload_size": simulator.config.max_upload_bytes}


async def features(request: web.Request) -> web.Response:
    return web.json_response(server_features(simulator_of(request)))


async def object_info(request: web.Request) -> web.Response:
    catalogue = simulator_of(request).catalogue
    return web.json_response(catalogue.object_info(catalogue.names()))


async def object_info_of(request: web.Request) -> web.Response:
    return web.json_response(simulator_of(request).catalogue.object_info([request.match_info["node_class"]]))


async def system_stats(request: web.Request) -> web.Response:
    memory = simulator_of(request).shop.memory
    total, free = int(memory.vram_gb * GIB), memory.free_bytes()
    system = {
        "os": "posix",
        "ram_total": _RAM,
        "ram_free": _RAM // 2,
        "comfyui_version": VERSION,
        "required_frontend_version": "1.27.10",
        "installed_templates_version": "0.1.95",
        "required_templates_version": "0.1.95",
        "python_version": sys.version,
        "pytorch_version": "simulated",
        "embedded_python": False,
        "argv": ["atelier", "simulate", f"({platform.python_implementation()})"],
    }
    device = {
        "name": DEVICE,
        "type": "cuda",
        "index": 0,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": total,
        "torch_vram_free": free,
    }
    return web.json_response({"system": system, "devices": [device]})


async def models(_request: web.Request) -> web.Response:
    return web.json_response(list(FOLDERS))


async def models_of(request: web.Request) -> web.Response:
    folder = _folder(request)
    return web.json_response(list(simulator_of(request).config.files(folder)))


async def model_folders(request: web.Request) -> web.Response:
    root = simulator_of(request).folders.root
    shown = [
        {"name": name, "folders": [str(root / "models" / name)]} for name in FOLDERS if name not in NOT_MODELS
    ]
    return web.json_response(shown)


async def model_files(request: web.Request) -> web.Response:
    folder = _folder(request)
    shown = [
        {"name": name, "pathIndex": 0, "modified": 0.0, "created": 0.0, "size": int(size_gb(folder, name) * GIB)}
        for name in simulator_of(request).config.files(folder)
    ]
    return web.json_response(shown)


def _folder(request: web.Request) -> str:
    """The folder that the path names, old names included. Raises 404 for an unknown one."""
    name = request.match_info["folder"]
    folder = LEGACY.get(name, name)
    if folder not in FOLDERS:
        raise EmptyNotFound
    return folder


class EmptyNotFound(web.HTTPNotFound):
    """ComfyUI's own 404s have no words."""

    empty_body = True


async def model_picture(request: web.Request) -> web.Response:
    """A plain picture beside each checkpoint, and beside nothing else."""
    folder, name = _folder(request), request.match_info["file"]
    if folder != "checkpoints" or name not in simulator_of(request).config.files(folder):
        return web.Response(status=404)
    drawn = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(drawn, format="WEBP")
    return web.Response(body=drawn.getvalue(), content_type="image/webp")


async def model_metadata(request: web.Request) -> web.Response:
    """What the head of a file says: that there is none."""
    name = request.query.get("filename", "")
    known = name in simulator_of(request).config.files(_folder(request))
    if not (known and name.endswith(".safetensors")):
        return web.Response(status=404)
    return web.json_response({"modelspec.title": f"SIMULATED {name}"})


async def empty_list(_request: web.Request) -> web.Response:
    return web.json_response([])


async def logs(_request: web.Request) -> web.Response:
    return web.json_response("simulated server: no log is kept\n")


async def raw_logs(_request: web.Request) -> web.Response:
    return web.json_response({"entries": [], "size": {"cols": 80, "rows": 24}})


async def subscribe_to_logs(_request: web.Request) -> web.Response:
    return web.Response()


async def folder_paths(request: web.Request) -> web.Response:
    root = simulator_of(request).folders.root
    return web.json_response({name: [str(root / "models" / name)] for name in FOLDERS})


async def stored_files(request: web.Request) -> web.Response:
    """Names at the top of one folder, newest first."""
    kind = request.match_info["kind"]
    if kind not in {"output", "input", "temp"}:
        return web.json_response({"error": "Invalid directory type"}, status=400)
    files = [path for path in simulator_of(request).folders.base(kind).iterdir() if path.is_file()]
    return web.json_response(
        [path.name for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)]
    )


ROUTES = [
    web.get("/features", features),
    web.get("/object_info", object_info),
    web.get("/object_info/{node_class}", object_info_of),
    web.get("/system_stats", system_stats),
    web.get("/models", models),
    web.get("/models/{folder}", models_of),
    web.get("/experiment/models", model_folders),
    web.get("/experiment/models/{folder}", model_files),
    web.get("/experiment/models/preview/{folder}/{path_index}/{file:.*}", model_picture),
    web.get("/view_metadata/{folder}", model_metadata),
    web.get("/embeddings", empty_list),
]

INTERNAL = [
    web.get("/internal/logs", logs),
    web.get("/internal/logs/raw", raw_logs),
    web.patch("/internal/logs/subscribe", subscribe_to_logs),
    web.get("/internal/folder_paths", folder_paths),
    web.get("/internal/files/{kind}", stored_files),
]
