"""A client that does not give up: it asks again while nobody answers, and counts answers that are our fault."""

import asyncio
import datetime as dt
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from atelier.kit import clock

ONE_REQUEST = aiohttp.ClientTimeout(total=45, sock_connect=5)
PAUSE_SECONDS = 0.25
BUSY_MOST_SECONDS = 5.0

BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
"""The connection came about not at all, or not to its end."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """An answer of 500 or more."""

    began: dt.datetime
    ended: dt.datetime
    status: int
    request: str
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`again`: how often it was asked before this answer came."""

    status: int
    body: bytes
    again: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Asker:
    """One account's requests through the balancer. `counts` is shared by all clients of a run."""

    http: aiohttp.ClientSession
    url: str
    key: str
    counts: Counter[str] = field(default_factory=Counter[str])
    errors: list[ServerError] = field(default_factory=list[ServerError])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Answer:
        """The first answer that is none of ours to repair. `path` may be a whole address."""
        address = path if path.startswith("http") else f"{self.url}{path}"
        again = 0
        while True:
            answer = await self._once(method, address, {**self.headers, **(headers or {})}, again, more)
            if answer is not None:
                return answer
            again += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _once(
        self, method: str, address: str, headers: Mapping[str, str], again: int, more: Mapping[str, Any]
    ) -> Answer | None:
        began = clock.utcnow()
        try:
            async with self.http.request(method, address, headers=headers, timeout=ONE_REQUEST, **more) as reply:
                body = await reply.read()
        except BROKEN:
            self.counts["requests broken off"] += 1
            return None
        self.counts["requests answered"] += 1
        if reply.status >= 500:
            self.failed(began, reply.status, f"{method} {address}", body)
            return None
        if reply.status == 429:
            self.counts["answers 429"] += 1
            await asyncio.sleep(min(float(reply.headers.get("Retry-After", "1")), BUSY_MOST_SECONDS))
            return None
        return Answer(reply.status, body, again)

    def failed(self, began: dt.datetime, status: int, request: str, body: bytes) -> None:
        said = body[:200].decode(errors="replace")
        self.errors.append(ServerError(began, clock.utcnow(), status, request, said))

    async def events(self, path: str) -> AsyncGenerator[tuple[str, Any]]:
        """The events of one stream until it ends or breaks; none when it could not be opened."""
        began = clock.utcnow()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=45)
        try:
            async with self.http.get(f"{self.url}{path}", headers=self.headers, timeout=timeout) as reply:
                if reply.status != 200:
                    if reply.status >= 500:
                        self.failed(began, reply.status, f"GET {path}", await reply.read())
                    return
                async for event in _parsed(reply.content):
                    yield event
        except BROKEN:
            self.counts["streams broken off"] += 1


async def _parsed(lines: aiohttp.StreamReader) -> AsyncGenerator[tuple[str, Any]]:
    """Events whose data is one line of JSON each, as this API sends them."""
    kind = ""
    async for line in lines:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)
