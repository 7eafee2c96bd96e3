"""Somebody who is told: a web server that keeps what was posted and answers as the test says."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_by(self, secret: str) -> bool:
        """As the specification has it, written from its text: any of the signatures may match.

        "The content to be signed is `msg_id.timestamp.payload`", HMAC-SHA256 with the base64-decoded secret;
        "webhook-signature is a space delimited list of signatures and their identifiers" (`v1,<base64>`).
        """
        key = base64.b64decode(secret.split("_", 1)[1])
        content = b".".join(
            (self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body)
        )
        expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        signatures = [each.split(",", 1) for each in self.headers["webhook-signature"].split(" ")]
        return any(version == "v1" and hmac.compare_digest(said, expected) for version, said in signatures)


@dataclass(slots=True)
class Receiver:
    """`answers`: statuses of the next posts, then 204. While `held` is not set, nobody is answered."""

    url: str = ""
    received: list[Received] = field(default_factory=list[Received])
    answers: list[int] = field(default_factory=list[int])
    said: str = ""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._came:
            self.received.append(Received(request.path, dict(request.headers), body))
            status = self.answers.pop(0) if self.answers else 204
            self._came.notify_all()
        await self.held.wait()
        return web.Response(status=status, text=self.said or None)

    async def until(self, count: int) -> list[Received]:
        """Wait until so many came, those that came again among them."""
        async with asyncio.timeout(SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return list(self.received)


@contextlib.asynccontextmanager
async def receiver() -> AsyncGenerator[Receiver]:
    """On a free port of this machine; every path is taken."""
    made = Receiver()
    made.held.set()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield made
    finally:
        made.held.set()
        await runner.cleanup()
