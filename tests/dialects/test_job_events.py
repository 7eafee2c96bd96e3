"""The events of a job: each is told once, in order, also to whoever lost the stream; the last one ends it."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.dialects.app import create_app
from atelier.dialects.services import Services
from atelier.kit.database import Database
from atelier.kit.http.sse import StreamSlots
from atelier.kit.ids import JobId, parse_uuid
from support.graphs import picture
from support.serving import Tenant, eventually, make_tenant, served
from support.stage import Stage


@dataclass(frozen=True)
class Told:
    name: str
    data: dict[str, Any]
    id: str | None


class Reader:
    """One open stream, read as a browser does."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> Told | None:
        fields: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line and not line.startswith(":"):
                    fields[name] = value
                elif not line and "data" in fields:
                    return Told(fields["event"], json.loads(fields["data"]), fields.get("id"))
        return None

    async def comment(self) -> None:
        async with asyncio.timeout(60):
            async for line in self._lines:
                if line.startswith(":"):
                    return

    async def until(self, name: str, **data: Any) -> Told:
        while (told := await self.next()) is not None:
            if told.name == name and data.items() <= told.data.items():
                return told
        raise AssertionError(f"the stream ended without {name} {data}")

    async def rest(self) -> list[Told]:
        found: list[Told] = []
        while (told := await self.next()) is not None:
            found.append(told)
        return found


@contextlib.asynccontextmanager
async def stream(
    client: httpx.AsyncClient, job_id: JobId, last: int | None = None, **query: str
) -> AsyncGenerator[Reader]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    path = f"/api/v1/jobs/{job_id}/events"
    async with client.stream("GET", path, params=query, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Reader(response)


async def submit(client: httpx.AsyncClient) -> JobId:
    answer = await client.post("/api/v2/jobs", json={"workflow": picture()})
    value = parse_uuid(answer.json()["id"])
    assert value is not None
    return JobId(value)


def numbered(found: list[Told]) -> list[tuple[str, str | None]]:
    return [(told.name, told.id) for told in found if told.id is not None]


async def test_a_job_is_told_event_by_event_with_their_numbers(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        accepted = await reader.until("status", state="queued")
        place = await reader.until("queue")
        claim = await stage.start(job_id)
        began = await reader.until("status", state="running")
        await stage.progress(claim, 0.5)
        progress = await reader.until("progress")
        await stage.succeed(claim, [b"one", b"two"])
        rest = await reader.rest()

    assert (accepted.id, began.id) == ("1", "2")
    assert (place.id, place.data["position"], progress.id, progress.data["value"]) == (None, 0, None, 0.5)
    assert numbered(rest) == [("output", "3"), ("output", "4"), ("status", "5")]
    assert rest[-1].data["state"] == "succeeded"
    assert rest[-1].data["terminal"] is True
    assert (await client.get(rest[0].data["output"]["url"])).content == b"one"


@pytest.mark.parametrize("last", range(5))
async def test_who_lost_the_stream_is_told_the_rest_once(
    client: httpx.AsyncClient, stage: Stage, last: int
) -> None:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id), [b"one", b"two"])

    async with stream(client, job_id, last) as reader:
        found = await reader.rest()

    assert [told.data["seq"] for told in found] == list(range(last + 1, 6))


async def test_the_number_may_stand_in_the_address(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id))

    async with stream(client, job_id, since="3") as reader:
        found = await reader.rest()

    assert numbered(found) == [("status", "4")]


async def test_who_has_heard_the_end_need_not_come_again(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id))

    answer = await client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "4"})

    assert answer.status_code == 204


async def test_an_end_that_the_log_has_forgotten_is_told_by_the_job(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id), [b"one"])
    async with stage.database.transaction() as tx:
        await tx.execute("DELETE FROM job_events WHERE job_id = %s", (job_id,))

    async with stream(client, job_id, 0) as reader:
        whole = await reader.rest()
    async with stream(client, job_id, 3) as reader:
        last = await reader.rest()

    assert numbered(whole) == [("output", "3"), ("status", "4")]
    assert numbered(last) == [("status", "4")]


@pytest.mark.parametrize("last", ["9", "x", "-1", "1" * 30, "1.0"])
async def test_a_number_that_no_event_has_is_refused(client: httpx.AsyncClient, last: str) -> None:
    job_id = await submit(client)

    answer = await client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last})

    assert answer.status_code == 400


async def test_a_retry_is_told_with_its_reason(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    claim = await stage.start(job_id)

    async with stream(client, job_id) as reader:
        await reader.until("status", state="running")
        await stage.lose(claim)
        retry = await reader.until("retry")

    assert "lost" in retry.data["reason"]
    assert (retry.data["attempt"], retry.id) == (1, "3")


async def test_a_failure_is_told_with_its_error(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    await stage.fail(await stage.start(job_id))

    async with stream(client, job_id, 2) as reader:
        [end] = await reader.rest()

    assert (end.data["state"], end.data["error"]["message"]) == ("failed", "boom")


async def test_previews_come_unless_they_are_not_wanted(client: httpx.AsyncClient, stage: Stage) -> None:
    job_id = await submit(client)
    claim = await stage.start(job_id)

    async with stream(client, job_id, previews="false") as quiet, stream(client, job_id) as reader:
        await reader.until("status", state="running")
        await eventually(stage.is_watched)
        await stage.preview(claim, 1, b"\xff\xd8 a picture")
        preview = await reader.until("preview")
        await stage.succeed(claim)
        told = await quiet.rest()

    assert base64.b64decode(preview.data["data_base64"]) == b"\xff\xd8 a picture"
    assert "preview" not in {one.name for one in told}


async def test_a_foreign_job_has_no_events_but_for_admins(
    client: httpx.AsyncClient, other: httpx.AsyncClient, base: str, database: Database, stage: Stage
) -> None:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id))
    operator = await make_tenant(database, "operator", Role.ADMIN)

    refused = await other.get(f"/api/v1/jobs/{job_id}/events")
    async with (
        httpx.AsyncClient(base_url=base, headers=operator.headers) as admin,
        stream(admin, job_id) as reader,
    ):
        found = await reader.rest()

    assert refused.status_code == 404
    assert found[-1].data["state"] == "succeeded"


async def test_the_end_of_the_process_ends_its_streams(client: httpx.AsyncClient, services: Services) -> None:
    job_id = await submit(client)

    async with stream(client, job_id) as reader:
        await reader.until("queue")
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
            refused = await client.get(f"/api/v1/jobs/{job_id}/events")
        await eventually(no_stream_is_open)
        unknown = await client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "7"})
        async with stream(client, job_id) as reader:
            again = await reader.next()
        few.closing.set()

    assert (refused.status_code, unknown.status_code) == (429, 400)
    assert again is not None


async def test_a_quiet_stream_is_kept_alive(services: Services, tenant: Tenant) -> None:
    hasty = replace(services, keepalive=0.01)
    async with (
        served(create_app(hasty)) as base,
        httpx.AsyncClient(base_url=base, headers=tenant.headers) as client,
    ):
        job_id = await submit(client)
        async with stream(client, job_id) as reader:
            await reader.comment()
            hasty.closing.set()
