"""A server, or Atelier, asked as ComfyUI's own examples do: POST /prompt, then the socket until the end."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

import aiohttp

from tools.bench.graphs import Graph
from tools.bench.through import session

WAIT_SECONDS = 60.0


@dataclass
class Asker:
    """One client with its socket. `wrong` are prompts whose history was not there when they had ended."""

    http: aiohttp.ClientSession
    url: str
    headers: Mapping[str, str]
    sid: str
    socket: aiohttp.ClientWebSocketResponse
    wrong: list[str] = field(default_factory=list[str])

    async def round_trip(self, graph: Graph) -> float:
        """Milliseconds from POST to `executing` with `node: null`; the history is looked at outside the clock."""
        prompt_id = str(uuid.uuid4())
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self.sid}
        began = time.perf_counter()
        async with self.http.post(f"{self.url}/prompt", json=body, headers=self.headers) as answer:
            answer.raise_for_status()
            await answer.read()
        await self._until_the_end(prompt_id)
        took = (time.perf_counter() - began) * 1000
        async with self.http.get(f"{self.url}/history/{prompt_id}", headers=self.headers) as answer:
            entry = (await answer.json()).get(prompt_id)
        if entry is None or entry["status"]["status_str"] != "success":
            self.wrong.append(prompt_id)
        return took

    async def _until_the_end(self, prompt_id: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                frame = await self.socket.receive()
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    if frame.type is not aiohttp.WSMsgType.BINARY:
                        raise ConnectionError(f"the socket was closed: {self.socket.close_code}")
                    continue
                message = json.loads(frame.data)
                data = message["data"]
                if message["type"] == "executing" and (data["node"], data["prompt_id"]) == (None, prompt_id):
                    return


@contextlib.asynccontextmanager
async def asker(url: str, key: str = "") -> AsyncGenerator[Asker]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    sid = uuid.uuid4().hex
    async with (
        session() as http,
        http.ws_connect(f"{url}/ws", params={"clientId": sid}, headers=headers, max_msg_size=0) as socket,
    ):
        await socket.receive(timeout=WAIT_SECONDS)
        yield Asker(http, url, headers, sid, socket)
