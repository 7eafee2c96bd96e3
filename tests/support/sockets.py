"""An API process to which sockets can be opened, and a client that remembers what it heard."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from atelier.dialects.app import create_app
from atelier.dialects.services import Services
from atelier.entry.api_server import ApiServer
from atelier.entry.listening import listen, url_of
from atelier.kit.background import background
from atelier.webui import pages

PATIENCE = 20.0
MODERN = {"supports_preview_metadata": True, "supports_progress_text_metadata": True}


@contextlib.asynccontextmanager
async def api_process(services: Services, *, shared: bool = False) -> AsyncGenerator[str]:
    """As entry puts it together. Gives the address; sockets are closed politely at the end.

    `shared`: it is in one process with others, who run its wake-ups and its relay.
    """
    server = ApiServer(create_app(services, pages.ROUTES), listener := listen("127.0.0.1", 0))
    async with background() as tasks:
        if not shared:
            tasks.start(services.wakeups.run())
            tasks.start(services.relay.run())
        tasks.start(services.hub.run(services.database, services.wakeups, services.relay, services.closing))
        serving = tasks.start(server.run_until_stopped())
        await server.ready()
        try:
            yield url_of(listener)
        finally:
            services.closing.set()
            server.stop()
            await serving


async def opened(services: Services, count: int) -> None:
    """Until so many sockets are open."""
    async with asyncio.timeout(PATIENCE):
        while services.hub.places._open != count:  # noqa: ASYNC110 - the other side is another program
            await asyncio.sleep(0.01)


@dataclass
class Socket:
    """`heard` are the JSON messages and the frames so far."""

    ws: aiohttp.ClientWebSocketResponse
    heard: list[Any] = field(default_factory=list[Any])

    async def receive(self) -> Any:
        """The next message. Raises Closed."""
        async with asyncio.timeout(PATIENCE):
            message = await self.ws.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                self.heard.append(json.loads(message.data))
            case aiohttp.WSMsgType.BINARY:
                self.heard.append(message.data)
            case aiohttp.WSMsgType.CLOSE:
                raise Closed(message.data, message.extra)
            case _:
                raise Closed(self.ws.close_code, message.extra)
        return self.heard[-1]

    async def until(self, kind: str, **data: Any) -> Mapping[str, Any]:
        """The next message of this type with these data."""
        while True:
            match await self.receive():
                case {"type": str(found), "data": dict(said)} if found == kind and data.items() <= said.items():
                    return said
                case _:
                    pass

    async def finished(self, prompt_id: str) -> list[str]:
        """Until `executing` with `node: null` of this prompt. The types of what was heard of it, in order."""
        await self.until("executing", node=None, prompt_id=prompt_id)
        return self.types(prompt_id)

    async def closed(self) -> "Closed":
        """Read on until the socket is closed."""
        try:
            while True:
                await self.receive()
        except Closed as closed:
            return closed

    async def quiet(self, seconds: float = 0.3) -> list[Any]:
        """What comes within so many seconds."""
        before = len(self.heard)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self.receive()
        return self.heard[before:]

    def types(self, prompt_id: str | None = None) -> list[str]:
        """Of all JSON messages, or of those of one prompt."""
        texts = [message for message in self.heard if isinstance(message, dict)]
        return [
            message["type"]
            for message in texts
            if prompt_id is None or message["data"].get("prompt_id") == prompt_id
        ]


class Closed(Exception):  # noqa: N818 - what became of a socket
    def __init__(self, code: int | None, reason: object) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@contextlib.asynccontextmanager
async def connected(
    url: str, headers: Mapping[str, str], sid: str = "", flags: Mapping[str, Any] | None = None, path: str = "/ws"
) -> AsyncGenerator[Socket]:
    """A socket that has been greeted, and has said its flags if it has any."""
    async with (
        aiohttp.ClientSession(headers=dict(headers)) as http,
        http.ws_connect(f"{url}{path}", params={"clientId": sid} if sid else None, max_msg_size=0) as ws,
    ):
        socket = Socket(ws)
        await socket.until("status")
        if flags is not None:
            await ws.send_json({"type": "feature_flags", "data": dict(flags)})
            await socket.until("feature_flags")
        yield socket
