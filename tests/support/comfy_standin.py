"""A server on a real port that answers what a test tells it to: no ComfyUI, only its wire."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class StandIn:
    """`answers[path]` is a handler; every request is kept in `seen` as (method, path, headers, body)."""

    url: str = ""
    answers: dict[str, Handler] = field(default_factory=dict[str, Handler])
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list[Any])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.path_qs, dict(request.headers), body))
        answer = self.answers.get(request.path)
        return await answer(request) if answer else web.Response(status=404)

    def says(self, path: str, document: Any, status: int = 200) -> None:
        """Answer JSON."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(document, status=status)

        self.answers[path] = answer

    def replies(self, path: str, text: str, status: int = 200, **headers: str) -> None:
        """Answer a page."""

        async def answer(_: web.Request) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(text=text, status=status, content_type="text/html", headers=named)

        self.answers[path] = answer


@contextlib.asynccontextmanager
async def standing_in() -> AsyncGenerator[StandIn]:
    stand_in = StandIn()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{rest:.*}", stand_in.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stand_in
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[str]:
    """A TCP server for what no HTTP server would do; gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def closed_url() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
