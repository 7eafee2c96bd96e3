"""A client of the roles that tests start as processes of their own."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(slots=True)
class Api:
    """A client of Comfy API v2 that tries again while the API is away, with the same idempotency key."""

    url: str
    key: str
    http: aiohttp.ClientSession

    async def submit(self, graph: Mapping[str, Any], idempotency_key: str) -> str | None:
        """The job's id; None when an earlier try of the same key was accepted and its answer lost."""
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": idempotency_key}
        async with asyncio.timeout(60):
            while True:
                try:
                    reply = await self.http.post(
                        f"{self.url}/api/v2/jobs", json={"workflow": graph}, headers=headers
                    )
                    body = await reply.json()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
                    continue
                if reply.status == 201:
                    return str(body["id"])
                assert (reply.status, body["error"]["code"]) == (422, "idempotency_key_reuse"), body
                return None

    async def get(self, path: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                try:
                    headers = {"Authorization": f"Bearer {self.key}"}
                    async with self.http.get(f"{self.url}{path}", headers=headers) as reply:
                        assert reply.status == 200, await reply.text()
                        shown: dict[str, Any] = await reply.json()
                        return shown
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
