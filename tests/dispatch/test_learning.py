"""A server of any age tells what it can run; what it does not tell in time is what it told before."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from atelier.comfy.client import ComfyClient, Timeouts
from atelier.comfy.errors import LostServer
from atelier.comfy.uploads import UploadedFile
from atelier.dispatch.learning import learn
from atelier.fleet.machine import machine_of
from atelier.simulator.config import MODELS, SimulatorConfig
from atelier.simulator.memory import GIB
from support.comfy_standin import StandIn, closed_url, standing_in
from support.fleet import simulator

NODES: dict[str, Any] = {"A": {"input": {"required": {}}, "python_module": "nodes"}}


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def old() -> AsyncGenerator[StandIn]:
    """A server older than /experiment/models."""
    async with standing_in() as server:
        server.says("/object_info", NODES)
        server.says("/system_stats", {"system": {}})
        server.says("/models", ["checkpoints", "configs", "custom_nodes", "loras"])
        server.says("/models/checkpoints", ["sdxl.safetensors"])
        server.says("/models/loras", [])
        server.says("/models/configs", ["v1.yaml"])
        yield server


OF_PACKS = {"ipadapter", "ultralytics"}
"""Folders that nodes of packs read by themselves; no server lists them."""


async def test_model_files_come_with_their_sizes(session: aiohttp.ClientSession) -> None:
    async with simulator(SimulatorConfig(checkpoints=("sub/one.safetensors", "two.ckpt"))) as url:
        learned = await learn(ComfyClient(session, url), None, 10)

    files = learned.inventory.files
    assert files["checkpoints"].keys() == {"sub/one.safetensors", "two.ckpt"}
    assert files.keys() == {"checkpoints", *MODELS} - OF_PACKS
    assert all(GIB // 100 < size < 20 * GIB for names in files.values() for size in names.values())
    assert learned.inventory.sizes["two.ckpt"] == files["checkpoints"]["two.ckpt"]
    assert machine_of(learned.system, learned.inventory).vram_total == 24 * GIB


async def test_an_old_server_tells_names_without_sizes(session: aiohttp.ClientSession, old: StandIn) -> None:
    learned = await learn(ComfyClient(session, old.url), None, 10)

    assert learned.inventory.files == {"checkpoints": {"sdxl.safetensors": 0}}
    assert learned.inventory.sizes == {}


async def test_files_that_are_not_told_in_time_are_those_of_before(
    session: aiohttp.ClientSession, old: StandIn
) -> None:
    client = ComfyClient(session, old.url, timeouts=Timeouts(read=0.2))
    before = await learn(client, None, 10)

    async def hangs(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await request.content.wait_eof()
        return response

    old.answers["/models/loras"] = hangs
    old.says("/models/checkpoints", [], 500)

    after = await learn(client, before.inventory, 10)
    anew = await learn(client, None, 10)

    assert after.inventory is before.inventory
    assert anew.inventory.files == {}


async def test_a_server_that_does_not_answer_tells_nothing(session: aiohttp.ClientSession) -> None:
    with pytest.raises(LostServer):
        await learn(ComfyClient(session, closed_url()), None, 10)


async def test_whether_a_server_has_a_file_is_asked_without_fetching_it(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with simulator(SimulatorConfig(directory=tmp_path)) as url:
        client = ComfyClient(session, url)
        placed = await client.upload(
            "a.bin", b"12345", content_type="application/octet-stream", subfolder="atelier"
        )

        assert await client.size_of(placed) == 5
        assert await client.size_of(UploadedFile("b.bin", "atelier", "input")) is None
