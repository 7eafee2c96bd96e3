"""One account's client: it obeys 429, asks again when a connection broke, and counts every answer."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tools.bench.graphs import Graph
from tools.load.tally import Seen, Tally

Body = dict[str, Any]
ENDS = frozenset({"succeeded", "failed", "canceled", "expired"})
POLLS = (0.2, 0.3, 0.5, 1.0)
"""Seconds between two looks at a job; the last one goes on."""
PAUSE_SECONDS = 0.2


class Unexpected(Exception):  # noqa: N818 - it is what is counted, not an error of ours
    """An answer that no client is prepared for."""


@dataclass(slots=True)
class Client:
    """What a user has in hand: one API process, one key."""

    http: aiohttp.ClientSession
    url: str
    key: str
    tally: Tally

    async def submit(self, graph: Graph, seen: Seen) -> Body | None:
        """The accepted job; None when it was accepted before, and that answer was lost on its way."""
        headers = {"Idempotency-Key": seen.key}
        while True:
            try:
                status, body = await self.ask("POST", f"{self.url}/api/v2/jobs", {"workflow": graph}, headers)
            except aiohttp.ClientError:
                await self._broken()
                continue
            if status == 201:
                seen.job_id = body["id"]
                return body
            if body["error"]["code"] == "idempotency_key_reuse":
                return None
            raise Unexpected(f"{status} to a submit: {body['error']}")

    async def polled(self, job: Body) -> Body:
        """The job in its terminal state, seen by asking again and again."""
        looks = 0
        while job["status"] not in ENDS:
            await asyncio.sleep(POLLS[min(looks, len(POLLS) - 1)])
            looks += 1
            job = await self.read(job["urls"]["self"])
        return job

    async def heard(self, job: Body) -> Body:
        """The same by its stream of events, opened again when it breaks; outputs as the stream told them."""
        while True:
            try:
                told = await self._listen(job["urls"]["events"])
            except aiohttp.ClientError:
                told = None
                await self._broken()
            if told is not None:
                return job | told

    async def cancel(self, job: Body) -> None:
        await self._insist("POST", job["urls"]["cancel"])

    async def read(self, url: str) -> Body:
        return await self._insist("GET", url)

    async def download(self, url: str) -> bytes:
        """The bytes behind a signed link, which needs no key."""
        while True:
            try:
                async with self.http.get(url) as answer:
                    body = await answer.read()
                    self._count(answer, body)
                    if answer.status != 200:
                        raise Unexpected(f"{answer.status} to a download")
                    return body
            except aiohttp.ClientError:
                await self._broken()

    async def ask(
        self, method: str, url: str, body: Body | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Body]:
        """One answer that is not 429: those are waited out, as long as they say. Raises aiohttp.ClientError."""
        while True:
            asked = {"Authorization": f"Bearer {self.key}"} | dict(headers or {})
            async with self.http.request(method, url, json=body, headers=asked) as answer:
                raw = await answer.read()
                self._count(answer, raw)
                if answer.status != 429:
                    return answer.status, _json(raw)
            await asyncio.sleep(_wait(answer))

    async def _insist(self, method: str, url: str) -> Body:
        while True:
            try:
                status, body = await self.ask(method, url)
            except aiohttp.ClientError:
                await self._broken()
                continue
            if status != 200:
                raise Unexpected(f"{status} to {method} of a job: {body.get('error')}")
            return body

    async def _listen(self, url: str) -> Body | None:
        """The terminal status and the outputs; None when the stream ended before it."""
        headers = {"Authorization": f"Bearer {self.key}"}
        outputs: list[Body] = []
        async with self.http.get(url, headers=headers) as answer:
            if answer.status != 200:
                self._count(answer, await answer.read())
                await asyncio.sleep(_wait(answer))
                return None
            self._count(answer, b"")
            async for kind, data in _events(answer):
                if kind == "output":
                    outputs.append(data)
                if kind == "status" and data["status"] in ENDS:
                    return {"status": data["status"], "outputs": outputs}
        return None

    def _count(self, answer: aiohttp.ClientResponse, body: bytes) -> None:
        what = f"{answer.method} {answer.url.path}"
        self.tally.answered(answer.status, what, body.decode(errors="replace") if answer.status >= 500 else "")

    async def _broken(self) -> None:
        self.tally.broken += 1
        await asyncio.sleep(PAUSE_SECONDS)


async def _events(answer: aiohttp.ClientResponse) -> AsyncGenerator[tuple[str, Body]]:
    """Events of a stream whose data is one line of JSON each, as this API sends them."""
    kind = ""
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def _json(raw: bytes) -> Body:
    """An answer that is no JSON, which ours always are, is told as an error of its own."""
    try:
        body: Body = json.loads(raw)
    except ValueError:
        return {"error": {"code": "no_json", "message": raw[:200].decode(errors="replace")}}
    return body


def _wait(answer: aiohttp.ClientResponse) -> float:
    return float(answer.headers.get("Retry-After", "1"))
