"""A server asked directly, as its own page asks it: prompt, socket until the end, history, file."""

import asyncio
import contextlib
import itertools
import json
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import aiohttp

from tools.bench.graphs import Graph

WAIT_SECONDS = 60.0


@dataclass
class Server:
    """One server with one socket, on which the ends of all its prompts arrive."""

    http: aiohttp.ClientSession
    url: str
    socket: aiohttp.ClientWebSocketResponse
    client_id: str
    ends: dict[str, asyncio.Future[None]] = field(default_factory=dict[str, "asyncio.Future[None]"])

    async def listen(self) -> None:
        async for frame in self.socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = json.loads(frame.data)
            data = message.get("data") or {}
            if message["type"] == "executing" and data.get("node") is None:
                self.ends.pop(data["prompt_id"]).set_result(None)

    async def picture(self, graph: Graph) -> bytes:
        prompt_id = str(uuid.uuid4())
        ended = self.ends[prompt_id] = asyncio.get_running_loop().create_future()
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self.client_id}
        async with self.http.post(f"{self.url}/prompt", json=body) as answer:
            answer.raise_for_status()
            await answer.read()
        async with asyncio.timeout(WAIT_SECONDS):
            await ended
        async with self.http.get(f"{self.url}/history/{prompt_id}") as answer:
            entry = (await answer.json())[prompt_id]
        images = [image for output in entry["outputs"].values() for image in output.get("images", ())]
        query = {name: images[0][name] for name in ("filename", "subfolder", "type")}
        async with self.http.get(f"{self.url}/view", params=query) as answer:
            answer.raise_for_status()
            return await answer.read()


@dataclass
class Direct:
    """Several servers; each job goes to the one that holds the fewest."""

    servers: Sequence[Server]

    async def picture(self, graph: Graph) -> bytes:
        return await min(self.servers, key=lambda server: len(server.ends)).picture(graph)


@contextlib.asynccontextmanager
async def connected(urls: Sequence[str]) -> AsyncGenerator[Direct]:
    """Sockets are open only during a direct turn, so that the product's turn does not pay for them."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        servers = [await _open(stack, http, url) for url in urls]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for server in servers:
            group.create_task(server.listen())
        yield Direct(servers)
        for server in servers:
            await server.socket.close()


async def _open(stack: contextlib.AsyncExitStack, http: aiohttp.ClientSession, url: str) -> Server:
    client_id = uuid.uuid4().hex
    socket = await stack.enter_async_context(http.ws_connect(f"{url}/ws", params={"clientId": client_id}))
    await socket.receive(timeout=WAIT_SECONDS)
    return Server(http, url, socket, client_id)


async def gaps(url: str, since: float, until: float) -> list[float]:
    """Milliseconds from the end of one prompt to the start of the next, by the server's own clock (whole ms).

    Source: the timestamps of execution_start and execution_success that history keeps; `since` and `until` in
    seconds of the same clock.
    """
    async with aiohttp.ClientSession() as http, http.get(f"{url}/history") as answer:
        entries = (await answer.json(content_type=None)).values()
    runs = sorted(run_of(entry["status"]["messages"]) for entry in entries)
    inside = [run for run in runs if since * 1000 <= run[0] and run[1] <= until * 1000]
    return [max(later[0] - earlier[1], 0) for earlier, later in itertools.pairwise(inside)]


def run_of(messages: list[tuple[str, dict[str, float]]]) -> tuple[float, float]:
    stamps = {kind: data["timestamp"] for kind, data in messages}
    return stamps["execution_start"], stamps["execution_success"]
