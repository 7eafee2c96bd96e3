"""The client and the socket against a whole server: the simulated one, and a real one where a person names it."""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atelier.comfy.client import ComfyClient, OutputItem, Success, UploadedFile
from atelier.comfy.errors import FileGone, LostServer, Rejected
from atelier.comfy.graph import parse
from atelier.comfy.messages import Executed, Executing, ExecutionStart, Preview
from atelier.comfy.socket import ComfySocket, Connected, Disconnected, Event
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import serve
from support.comfy_graphs import picture

REAL = os.environ.get("ATELIER_TEST_COMFYUI_URL")  # noqa: TID251 - a person points the tests at a real server


@dataclass
class Line:
    """A client and everything that its socket heard."""

    client: ComfyClient
    client_id: str
    events: list[Event]
    more: asyncio.Event

    def hear(self, event: Event, _frame: str | bytes) -> None:
        self.events.append(event)
        self.more.set()

    async def until(self, wanted: Event) -> None:
        async with asyncio.timeout(30):
            while wanted not in self.events:
                await self.more.wait()
                self.more.clear()

    async def run(self, graph: dict[str, Any]) -> str:
        """The id of a prompt that has ended."""
        prompt_id = str(uuid.uuid4())
        await self.client.submit(parse(graph), prompt_id=prompt_id, client_id=self.client_id)
        await self.until(Executing(prompt_id, None))
        return prompt_id

    async def outputs(self, graph: dict[str, Any]) -> tuple[OutputItem, ...]:
        entry = await self.client.history(await self.run(graph))
        assert entry is not None
        assert entry.verdict == Success()
        return entry.outputs


@contextlib.asynccontextmanager
async def simulated(folder: Path) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    up = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        config = SimulatorConfig(directory=folder)
        task = group.create_task(serve(config, "127.0.0.1", port, ready=lambda *_: up.set()))
        await up.wait()
        yield f"http://127.0.0.1:{port}"
        task.cancel()


@pytest.fixture(params=["simulated", *(["real"] if REAL else [])])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[str]:
    if request.param == "real":
        yield str(REAL)
        return
    async with simulated(tmp_path) as url:
        yield url


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Line]:
    client_id = uuid.uuid4().hex
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        line = Line(ComfyClient(session, url), client_id, [], asyncio.Event())
        task = group.create_task(ComfySocket(session, url, client_id=client_id).listen(line.hear))
        async with asyncio.timeout(10):
            while not line.events:
                await line.more.wait()
        assert isinstance(line.events[0], Connected)
        yield line
        task.cancel()


def fresh(**inputs: Any) -> dict[str, Any]:
    """A picture that no cache knows."""
    graph = picture(**inputs)
    graph["1"]["inputs"]["color"] = uuid.uuid4().int % 2**24
    return graph


async def test_a_prompt_runs_under_our_id_and_gives_its_file(url: str) -> None:
    async with connected(url) as line:
        prompt_id = await line.run(fresh(filename_prefix="atelier/test/x"))

        entry = await line.client.history(prompt_id)
        assert entry is not None
        (item,) = entry.outputs
        async with line.client.view(item) as download:
            content = b"".join([chunk async for chunk in download.chunks])

    heard = [event for event in line.events if getattr(event, "prompt_id", None) == prompt_id]
    assert isinstance(heard[0], ExecutionStart)
    assert heard[-1] == Executing(prompt_id, None)
    assert Executed in {type(event) for event in heard}
    assert (item.node_id, item.media_key, item.subfolder, item.type) == ("2", "images", "atelier/test", "output")
    assert (download.content_type, download.size) == ("image/png", len(content))
    assert content.startswith(b"\x89PNG")


async def test_an_uploaded_file_is_loaded_by_its_reference(url: str) -> None:
    async with connected(url) as line:
        (item,) = await line.outputs(fresh())
        async with line.client.view(item) as download:
            content = b"".join([chunk async for chunk in download.chunks])

        uploads = [
            await line.client.upload('naïve "ü" 1.png', content, content_type="image/png", subfolder="a/b"),
            await line.client.upload('naïve "ü" 1.png', content, content_type="image/png", subfolder="a/b"),
        ]
        graph = fresh(images=["9", 0])
        graph["9"] = {"class_type": "LoadImage", "inputs": {"image": uploads[0].reference}}
        outputs = await line.outputs(graph)

    assert uploads[0] == uploads[1] == UploadedFile('naïve "ü" 1.png', "a/b", "input")
    assert len(outputs) == 1


async def test_a_picture_sent_over_the_socket_names_its_prompt(url: str) -> None:
    graph = fresh()
    graph["2"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}

    async with connected(url) as line:
        prompt_id = await line.run(graph)

    (sent,) = [event for event in line.events if isinstance(event, Preview)]
    assert (sent.prompt_id, sent.node_id, sent.content_type) == (prompt_id, "2", "image/png")
    assert sent.image.startswith(b"\x89PNG")


async def test_a_graph_that_the_server_cannot_run_is_rejected(url: str) -> None:
    async with connected(url) as line:
        with pytest.raises(Rejected) as missing:
            await line.run({"1": {"class_type": "NoSuchNode", "inputs": {}}})
        with pytest.raises(Rejected) as wrong:
            await line.run(fresh(images=["1", 7]))

    assert missing.value.error["type"] in {"invalid_prompt", "missing_node_type"}
    assert "2" in wrong.value.node_errors


async def test_what_is_not_there_does_no_harm(url: str) -> None:
    nobody = str(uuid.uuid4())
    async with connected(url) as line:
        await line.client.interrupt(nobody)
        await line.client.delete([nobody])
        await line.client.free(unload_models=False, free_memory=False)

        assert await line.client.history(nobody) is None
        assert (await line.client.queue()).position(nobody) is None
        with pytest.raises(FileGone):
            async with line.client.view(OutputItem("1", "images", f"{nobody}.png", "", "output", None, 0)):
                pass


async def test_a_server_says_what_it_is_and_has(url: str) -> None:
    async with connected(url) as line:
        info = await line.client.object_info()
        stats = await line.client.system_stats()
        folders = await line.client.models()
        checkpoints = await line.client.models_in("checkpoints")

        assert await line.client.models_in("no such folder") is None

    assert info["SaveImage"]["output_node"] is True
    assert stats["devices"]
    assert "checkpoints" in folders
    assert isinstance(checkpoints, list)


async def test_a_server_that_goes_is_noticed(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(simulated(tmp_path))
        async with connected(url) as line:
            await stack.aclose()

            async with asyncio.timeout(10):
                while not any(isinstance(event, Disconnected) for event in line.events):
                    await line.more.wait()
                    line.more.clear()
            with pytest.raises(LostServer) as caught:
                await line.client.queue()

    assert caught.value.refused
