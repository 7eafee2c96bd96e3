"""uvicorn inside our own loop, on a socket that is open already; signals stay ours."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from fastapi import FastAPI

GRACE_SECONDS = 3
START_SECONDS = 30.0


class ApiServer(uvicorn.Server):
    """Serves until `stop`; open streams get a moment to say goodbye."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,  # who asks says X-Forwarded-*; behind a proxy public_url says where we are
                timeout_graceful_shutdown=GRACE_SECONDS,
                ws="none",
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
