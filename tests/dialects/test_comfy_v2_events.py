"""The event stream: where a job stands, what changes, outputs before the end, and a stream that stays open."""

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
from comfy_low.models import Output as SdkOutput

from atelier.dialects.app import create_app
from atelier.dialects.comfy_v2 import events
from atelier.dialects.services import Services
from atelier.kit.http.sse import StreamSlots
from atelier.kit.ids import JobId, parse_uuid
from support.graphs import picture
from support.serving import Tenant, eventually, served
from support.stage import Stage

Event = tuple[str, dict[str, Any]]


class Reader:
    """One open stream; `next` gives the next event, `rest` all until it ends."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        name = ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))
        return None

    async def rest(self) -> list[Event]:
        found: list[Event] = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@contextlib.asynccontextmanager
async def stream(client: httpx.AsyncClient, job_id: JobId) -> AsyncGenerator[Reader]:
    async with client.stream("GET", f"/api/v2/jobs/{job_id}/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Reader(response)


async def submit(client: httpx.AsyncClient) -> JobId:
    answer = await client.post("/api/v2/jobs", json={"workflow": picture()})
    value = parse_uuid(answer.json()["id"])
    assert value is not None
    return JobId(value)


def statuses(found: list[Event]) -> list[str]:
    return [data["status"] for name, data in found if name == "status"]


async def test_a_job_is_followed_from_queue_to_outputs_to_end(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        first = await reader.next()
        claim = await stage.start(job_id)
        second = await reader.next()
        await stage.progress(claim, 0.5)
        third = await reader.next()
        await stage.succeed(claim, [b"one", b"two"])
        rest = await reader.rest()

    assert first == ("status", {"status": "queued", "queue_position": 0})
    assert second == ("status", {"status": "running"})
    assert third is not None
    assert third[0] == "progress"
    assert third[1]["value"] == 0.5
    assert [name for name, _ in rest] == ["output", "output", "status"]
    assert rest[-1] == ("status", {"status": "succeeded"})
    assert [SdkOutput.model_validate(data).name for name, data in rest[:2]] == [
        "ComfyUI_00001_.png",
        "ComfyUI_00002_.png",
    ]


async def test_a_finished_job_tells_its_outputs_first_and_ends(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id))

    async with stream(client, job_id) as reader:
        found = await reader.rest()

    assert [name for name, _ in found] == ["output", "status"]
    assert statuses(found) == ["succeeded"]


async def test_a_canceled_job_ends_the_stream(client: httpx.AsyncClient) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        await reader.next()
        await client.post(f"/api/v2/jobs/{job_id}/cancel")
        rest = await reader.rest()

    assert statuses(rest) == ["canceled"]


async def test_progress_never_goes_back(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        await reader.next()
        claim = await stage.start(job_id)
        for value in (0.6, 0.2, 0.7):
            await stage.progress(claim, value)
            await asyncio.sleep(0.05)
        await stage.succeed(claim)
        rest = await reader.rest()

    values = [data["value"] for name, data in rest if name == "progress"]
    assert values == sorted(values)
    assert values[-1] == 0.7


async def test_a_retry_is_told_with_its_reason(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    claim = await stage.start(job_id)

    async with stream(client, job_id) as reader:
        await reader.next()
        await stage.lose(claim)
        retry, queued = await reader.next(), await reader.next()

    assert retry is not None
    assert retry[0] == "log"
    assert "lost" in retry[1]["message"]
    assert queued is not None
    assert queued[1]["status"] == "queued"


async def test_what_happened_between_two_looks_is_told_too(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        await reader.next()
        quiet = replace(stage, wakeups=type(stage.wakeups)(stage.database))
        claim = await quiet.start(job_id)
        await quiet.succeed(claim)
        rest = await reader.rest()

    assert statuses(rest) == ["running", "succeeded"]


async def test_previews_come_while_somebody_watches(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    claim = await stage.start(job_id)

    async with stream(client, job_id) as reader:
        await reader.next()
        await eventually(stage.is_watched)
        await stage.preview(claim, 1, b"\xff\xd8 a picture")
        preview = await reader.next()

    assert preview is not None
    assert preview[0] == "preview"
    assert base64.b64decode(preview[1]["data_base64"]) == b"\xff\xd8 a picture"
    assert preview[1]["content_type"] == "image/jpeg"


async def test_a_quiet_stream_is_kept_alive(services: Services, tenant: Tenant, stage: Stage) -> None:
    hasty = replace(services, keepalive=0.01)
    async with (
        served(create_app(hasty)) as base,
        httpx.AsyncClient(base_url=base, headers=tenant.headers) as client,
    ):
        job_id = await submit(client)
        async with stream(client, job_id) as reader:
            await reader.next()
            await asyncio.sleep(0.6)
            await stage.succeed(await stage.start(job_id))
            await reader.rest()

    assert reader.comments >= 1
    assert services.keepalive + events.LOOK_SECONDS < 15


async def test_the_end_of_the_process_ends_its_streams(client: httpx.AsyncClient, services: Services) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        await reader.next()
        services.closing.set()
        rest = await reader.rest()

    assert rest == []


async def test_streams_are_counted_per_account_and_given_back(services: Services, tenant: Tenant) -> None:
    few = replace(services, streams=StreamSlots(per_owner=1))

    async def no_stream_is_open() -> bool:
        return not few.streams._open

    async with served(create_app(few)) as base, httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
        job_id = await submit(client)
        async with stream(client, job_id) as reader:
            await reader.next()
            refused = await client.get(f"/api/v2/jobs/{job_id}/events")
        await eventually(no_stream_is_open)
        async with stream(client, job_id) as reader:
            again = await reader.next()

        few.closing.set()

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_streams"
    assert int(refused.headers["retry-after"]) >= 1
    assert again is not None


async def test_streams_that_are_asked_for_at_once_are_counted_too(services: Services, tenant: Tenant) -> None:
    few = replace(services, streams=StreamSlots(per_owner=2))
    async with served(create_app(few)) as base, httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
        job_id = await submit(client)
        ask = client.build_request("GET", f"/api/v2/jobs/{job_id}/events")

        answers = await asyncio.gather(*(client.send(ask, stream=True) for _ in range(20)))

        for answer in answers:
            await answer.aclose()
        few.closing.set()

    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 18


async def test_a_stream_of_a_job_that_is_not_there_takes_no_place(services: Services, tenant: Tenant) -> None:
    few = replace(services, streams=StreamSlots(per_owner=1))
    async with served(create_app(few)) as base, httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
        answers = [await client.get(f"/api/v2/jobs/{uuid.uuid4()}/events") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404] * 3
