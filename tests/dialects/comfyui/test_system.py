"""One machine with as many devices as the fleet has GPUs; what is closed says so in ComfyUI's words."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.dialects.services import Services
from atelier.fleet.model import Health
from atelier.simulator.config import SimulatorConfig
from support.fleet import simulator
from support.serving import Tenant
from support.showroom import Showroom, showroom

GIB = 1024**3


@pytest.fixture
async def room(services: Services) -> AsyncGenerator[Showroom]:
    async with showroom(services) as made:
        yield made


@pytest.fixture
async def client(room: Showroom, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=room.url, headers=tenant.headers) as made:
        yield made


def machine(version: str, *gpus: str, **more: Any) -> dict[str, Any]:
    devices = [
        {"name": f"cuda:{n} {gpu} : native", "type": "cuda", "index": n, "vram_total": 24 * GIB}
        for n, gpu in enumerate(gpus)
    ]
    return {"system": {"comfyui_version": version, "ram_total": GIB, "ram_free": 5, **more}, "devices": devices}


async def test_every_gpu_of_the_fleet_is_a_device_that_tells_its_server(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    await room.catalogue("big", {}, system=machine("0.3.64", "RTX 4090", "RTX 4090"))
    await room.catalogue("small", {}, system=machine("0.3.64", "RTX 3060"))

    told = (await client.get("/system_stats")).json()

    assert [(one["index"], one["name"]) for one in told["devices"]] == [
        (0, "big: RTX 4090"),
        (1, "big: RTX 4090"),
        (2, "small: RTX 3060"),
    ]
    assert told["devices"][0]["vram_total"] == 24 * GIB
    assert told["system"]["ram_total"] == 2 * GIB
    assert told["system"]["argv"] == ["atelier"]


async def test_the_versions_are_those_of_the_newest_server(room: Showroom, client: httpx.AsyncClient) -> None:
    packages = [{"name": "comfy-kitchen", "installed": "1", "required": "1"}]
    newest = {
        "pytorch_version": "2.9",
        "comfy_package_versions": packages,
        "installed_templates_version": None,
    }
    await room.catalogue("a", {}, system=machine("0.3.64", pytorch_version="2.4"))
    await room.catalogue("b", {}, system=machine("0.10.1", **newest))
    await room.catalogue("c", {}, system=machine("0.3.9", pytorch_version="2.1"))

    told = (await client.get("/api/system_stats")).json()["system"]

    assert (told["comfyui_version"], told["pytorch_version"]) == ("0.10.1", "2.9")
    assert told["comfy_package_versions"] == packages
    assert told["installed_templates_version"] is None


async def test_servers_that_are_away_are_no_devices_unless_all_are(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    await room.catalogue("a", {}, system=machine("0.3.64", "A"))
    await room.catalogue("b", {}, system=machine("0.3.64", "B"))

    await room.health("a", Health.OFFLINE)
    one = (await client.get("/system_stats")).json()
    await room.health("b", Health.OFFLINE)
    none = (await client.get("/system_stats")).json()

    assert [device["name"] for device in one["devices"]] == ["b: B"]
    assert [device["name"] for device in none["devices"]] == ["a: A", "b: B"]


async def test_a_fleet_without_servers_has_the_shape_all_the_same(client: httpx.AsyncClient) -> None:
    told = (await client.get("/system_stats")).json()

    assert told["devices"] == []
    assert {"os", "ram_total", "ram_free", "comfyui_version", "python_version", "embedded_python"} <= told[
        "system"
    ].keys()


async def test_it_has_every_member_that_a_server_has(room: Showroom, client: httpx.AsyncClient) -> None:
    async with simulator(SimulatorConfig()) as url, httpx.AsyncClient() as direct:
        await room.server(url, "sim")
        theirs = (await direct.get(f"{url}/system_stats")).json()

    ours = (await client.get("/system_stats")).json()

    assert ours["system"].keys() == theirs["system"].keys()
    assert [one.keys() for one in ours["devices"]] == [one.keys() for one in theirs["devices"]]


async def test_the_assets_api_says_that_it_is_off(client: httpx.AsyncClient) -> None:
    asked = [
        ("GET", "/api/assets"),
        ("POST", "/api/assets/from-hash"),
        ("GET", "/api/tags"),
        ("DELETE", "/api/assets/x"),
    ]

    answers = [await client.request(method, path) for method, path in asked]

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error"]["code"] for answer in answers} == {"SERVICE_DISABLED"}
    assert (await client.get("/features")).json()["assets"] is False
