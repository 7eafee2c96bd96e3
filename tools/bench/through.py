"""The product as its clients use it: submit, wait by polling or by events, fetch the file by its link."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tools.bench.graphs import Graph

POLL_SECONDS = 0.002
WAIT_SECONDS = 60.0
KEPT_SECONDS = 3.0
"""Idle connections are closed before the API closes them (after 5 s), so that no submit meets a closed one."""
_ENDS = frozenset({"succeeded", "failed", "canceled", "expired"})


class WronglyEnded(Exception):  # noqa: N818 - it is what is counted, not an error of ours
    """A job that could only succeed was reported otherwise."""


@dataclass
class Atelier:
    """One account's view of the API."""

    http: aiohttp.ClientSession
    url: str
    key: str
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.key}"}

    async def submit(self, graph: Graph) -> dict[str, Any]:
        """The job, durable now."""
        body = {"workflow": graph}
        async with self.http.post(f"{self.url}/api/v2/jobs", json=body, headers=self.headers) as answer:
            job: dict[str, Any] = await answer.json()
            if answer.status != 201:
                raise WronglyEnded(f"{answer.status} {job}")
            return job

    async def by_polling(self, graph: Graph) -> bytes:
        """Ask every two milliseconds; an answer that takes longer is followed by the next question at once."""
        loop = asyncio.get_running_loop()
        job = await self.submit(graph)
        until = loop.time() + WAIT_SECONDS
        while job["status"] not in _ENDS:
            asked = loop.time()
            if asked > until:
                raise WronglyEnded(f"still {job['status']} after {WAIT_SECONDS:.0f} s")
            async with self.http.get(job["urls"]["self"], headers=self.headers) as answer:
                job = await answer.json()
            if job["status"] not in _ENDS:
                await asyncio.sleep(max(asked + POLL_SECONDS - loop.time(), 0))
        return await self._fetch(job["status"], job["outputs"])

    async def by_events(self, graph: Graph) -> bytes:
        """Listen to the job's stream of events until the terminal status."""
        job = await self.submit(graph)
        outputs: list[dict[str, Any]] = []
        async with (
            asyncio.timeout(WAIT_SECONDS),
            self.http.get(job["urls"]["events"], headers=self.headers) as answer,
        ):
            async for kind, data in _events(answer):
                if kind == "output":
                    outputs.append(data)
                if kind == "status" and data["status"] in _ENDS:
                    return await self._fetch(data["status"], outputs)
        raise WronglyEnded("the stream ended before the job")

    async def _fetch(self, status: str, outputs: list[dict[str, Any]]) -> bytes:
        if status != "succeeded" or len(outputs) != 1:
            raise WronglyEnded(f"{status} with {len(outputs)} outputs")
        async with self.http.get(outputs[0]["url"]) as answer:
            answer.raise_for_status()
            return await answer.read()


@contextlib.asynccontextmanager
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield http


async def _events(answer: aiohttp.ClientResponse) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Events of a stream whose data is one line of JSON each, as this API sends them."""
    kind = ""
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)
