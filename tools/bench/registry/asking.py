"""One client that runs a graph raw, or by the workflow, and follows it by its events to the end."""

import asyncio
import datetime as dt
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from atelier.kit.clock import utcnow
from tools.bench.graphs import Graph, plain
from tools.bench.registry.workflow import ID, params_of

WAIT_SECONDS = 120.0
RAW, DRAWN, NAMED = "raw", "drawn", "named"
"""The graph; the workflow with a seed that is drawn; the workflow with one that is named, so that it has a key."""

WAYS = (RAW, DRAWN, NAMED)
Json = dict[str, Any]


@dataclass(slots=True)
class Taken:
    """Milliseconds: until the POST was answered, until the end was heard, and from the end to its event."""

    accepted: list[float] = field(default_factory=list[float])
    ended: list[float] = field(default_factory=list[float])
    told: list[float] = field(default_factory=list[float])
    wrong: int = 0


@dataclass(slots=True)
class Asker:
    http: aiohttp.ClientSession
    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def run(self, way: str, taken: Taken) -> None:
        """One job that no cache answers."""
        graph = plain()
        began = time.perf_counter()
        job = await self._begun(way, graph)
        accepted = time.perf_counter()
        ended = await self._ended(job["id"], taken)
        taken.accepted.append((accepted - began) * 1000)
        taken.ended.append((time.perf_counter() - began) * 1000)
        taken.wrong += not ended

    async def _begun(self, way: str, graph: Graph) -> Json:
        if way == RAW:
            return await self._raw(graph)
        return await self.generate(params_of(graph) | ({"seed": -1} if way == DRAWN else {}))

    async def generate(self, params: Json) -> Json:
        return await self._posted("/api/v1/generate", {"workflow_id": ID, "params": params})

    async def batch(self, items: int) -> Json:
        """So many different pictures in one call."""
        graphs = [params_of(plain()) for _ in range(items)]
        body = {"workflow_id": ID, "items": [{"params": params} for params in graphs]}
        return await self._posted("/api/v1/generate/batch", body)

    async def get(self, path: str) -> Json:
        async with self.http.get(f"{self.url}{path}", headers=self.headers) as answer:
            answer.raise_for_status()
            return dict(await answer.json())

    async def _raw(self, graph: Graph) -> Json:
        return await self._posted("/api/v2/jobs", {"workflow": graph})

    async def _posted(self, path: str, body: Json) -> Json:
        async with self.http.post(f"{self.url}{path}", json=body, headers=self.headers) as answer:
            told = dict(await answer.json())
            if answer.status >= 400:
                raise RuntimeError(f"{path}: {answer.status} {told}")
            return told

    async def _ended(self, job_id: str, taken: Taken) -> bool:
        """Whether it succeeded, as its stream of events tells."""
        path = f"{self.url}/api/v1/jobs/{job_id}/events?previews=false"
        async with asyncio.timeout(WAIT_SECONDS), self.http.get(path, headers=self.headers) as answer:
            answer.raise_for_status()
            async for data in _data(answer):
                if data.get("terminal"):
                    since = utcnow() - dt.datetime.fromisoformat(data["at"])
                    taken.told.append(since.total_seconds() * 1000)
                    return bool(data["state"] == "succeeded")
        return False


async def _data(answer: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))
