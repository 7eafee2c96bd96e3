"""The fleet shown as one machine: a device for each GPU, named after its server; versions of the newest server.

The newest, because its classes and routes are what the fleet shows; a client that asks for a version wants to know
what it may use. Memory of machines is added up over the servers that work. Shapes: contract, section 11.
"""

import functools
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from atelier.comfy.catalog import as_list, as_object
from atelier.dialects.auth import Call
from atelier.dialects.comfyui.features import server_flags
from atelier.dialects.comfyui.routing import get
from atelier.fleet.machine import machine_of
from atelier.fleet.model import Health, Server
from atelier.fleet.union import version_of
from atelier.kit.http.answers import json_response

ARGV = ("atelier",)
EDITOR = "comfyui-frontend-package"
OLDEST = "0.3.64"
"""What is said of the versions while no server has told its own: what this API is like at least."""

_GONE = frozenset({Health.OFFLINE, Health.UNKNOWN})
_TEXTS = (
    "os",
    "comfyui_version",
    "required_frontend_version",
    "installed_templates_version",
    "required_templates_version",
    "python_version",
    "pytorch_version",
    "deploy_environment",
)
_BYTES = ("vram_total", "vram_free", "torch_vram_total", "torch_vram_free")


async def system_stats(_: Request, call: Call) -> Response:
    return json_response(stats(call.services.intake.fleet.servers))


async def features(_: Request, call: Call) -> Response:
    return json_response(server_flags(call.services))


def stats(servers: Sequence[Server]) -> dict[str, Any]:
    """What /system_stats says of a fleet of these servers; of those that are away only while all of them are."""
    told = [one for one in servers if one.enabled and one.system]
    here = [one for one in told if one.health not in _GONE] or told
    devices = [device for server in here for device in _devices(server)]
    return {
        "system": _system([as_object(one.system.get("system")) or {} for one in here]),
        "devices": [{**device, "index": number} for number, device in enumerate(devices)],
    }


def _system(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    nothing: Mapping[str, Any] = {}
    newest = max(told, key=lambda one: version_of(str(one.get("comfyui_version", ""))), default=nothing)
    unknown = {"os": "posix", "comfyui_version": OLDEST, "python_version": "", "pytorch_version": ""}
    said = {**unknown, **newest}
    texts = {name: said[name] for name in _TEXTS if isinstance(said.get(name, 0), str | None)}
    packages = as_list(newest.get("comfy_package_versions"))
    return {
        **texts,
        **({"required_frontend_version": version} if (version := editor_version()) else {}),
        **({"comfy_package_versions": packages} if packages is not None else {}),
        "ram_total": sum(_number(one.get("ram_total")) for one in told),
        "ram_free": sum(_number(one.get("ram_free")) for one in told),
        "embedded_python": False,
        "argv": list(ARGV),
    }


@functools.cache
def editor_version() -> str:
    """Of the editor that we serve, which then is the one that is required; empty without one."""
    try:
        return importlib.metadata.version(EDITOR)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _devices(server: Server) -> Iterator[dict[str, Any]]:
    """`gpu-1: NVIDIA GeForce RTX 4090`, as many as the server has."""
    raw = [one for one in map(as_object, as_list(server.system.get("devices")) or ()) if one]
    for device, known in zip(raw, machine_of(server.system).devices, strict=True):
        sizes = {name: _number(device.get(name)) for name in _BYTES}
        yield {"name": f"{server.id}: {known.name or known.kind}", "type": known.kind, "index": 0, **sizes}


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 2**60 else 0


ROUTES = [get("/system_stats", system_stats), get("/features", features)]
