"""Prompts sent through the native API, and jobs of the same account sent by another way."""

import uuid
from typing import Any

import httpx

from atelier.kit.ids import JobId
from support.graphs import picture


async def prompt(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """What POST /prompt answers to a good prompt."""
    answer = await client.post("/prompt", json={"prompt": picture(), **body})
    assert answer.status_code == 200, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def v2_job(client: httpx.AsyncClient, **body: Any) -> str:
    """The id of a job that came by Comfy API v2."""
    answer = await client.post("/api/v2/jobs", json={"workflow": picture(), **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def job_id(text: str) -> JobId:
    return JobId(uuid.UUID(text))


async def queue(client: httpx.AsyncClient) -> tuple[list[str], list[str]]:
    """The ids of what runs and of what waits."""
    shown = (await client.get("/queue")).json()
    return [item[1] for item in shown["queue_running"]], [item[1] for item in shown["queue_pending"]]


async def history(client: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/history{query}")
    assert answer.status_code == 200, answer.text
    entries: dict[str, Any] = answer.json()
    return entries
