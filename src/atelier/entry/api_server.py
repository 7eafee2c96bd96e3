"""uvicorn inside our own loop, on a socket that is open already; signals stay ours."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from atelier.entry import api_heads, api_sockets

GRACE_SECONDS = 3
START_SECONDS = 30.0


class ApiServer(uvicorn.Server):
    """Serves until `stop`; open streams get a moment to say goodbye."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,  # who asks says X-Forwarded-*; behind a proxy public_url says where we are
                timeout_graceful_shutdown=GRACE_SECONDS,
                http=api_heads.ApiHeads,
                ws=api_sockets.ApiSockets,
                ws_max_size=api_sockets.MAX_MESSAGE,
                ws_ping_interval=api_sockets.PING_SECONDS,
                ws_ping_timeout=api_sockets.PING_SECONDS,
                ws_per_message_deflate=False,  # previews do not shrink, and each socket would need 300 KB for it
            )
        )
        self._listener = listener

    async def run_until_stopped(self) -> None:
        await self.serve(sockets=[self._listener])

    async def ready(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            while not self.started:  # noqa: ASYNC110 - uvicorn gives no event for it
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
