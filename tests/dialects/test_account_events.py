"""Everything of an account on one connection: each event once, in order per job, also after a break."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import httpx
import pytest

from atelier.accounts.model import Role
from atelier.dialects.services import Services
from atelier.jobs.stream import Cursor
from atelier.kit.database import Database
from atelier.kit.http.sse import StreamSlots
from atelier.kit.ids import JobId, new_uuid, parse_uuid
from support.graphs import picture
from support.serving import Tenant, eventually, make_tenant
from support.sockets import api_process
from support.stage import Stage

PATH = "/api/v1/events"
PATIENCE = 60.0


@pytest.fixture
async def url(services: Services) -> AsyncGenerator[str]:
    async with api_process(services) as address:
        yield address


@pytest.fixture
async def asking(url: str, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers=tenant.headers) as made:
        yield made


@dataclass
class Ear:
    """An open socket. `heard`: what was told so far."""

    ws: aiohttp.ClientWebSocketResponse
    heard: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            message = await self.ws.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionResetError(self.ws.close_code)
        self.heard.append(json.loads(message.data))
        return self.heard[-1]

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        while True:
            told = await self.next()
            if told["type"] == kind and data.items() <= told.items():
                return told

    @property
    def cursor(self) -> str:
        """Of the last message that has one."""
        return str(next(told["cursor"] for told in reversed(self.heard) if "cursor" in told))

    def events(self) -> list[tuple[str, int]]:
        return [(told["job_id"], told["seq"]) for told in self.heard if "seq" in told]


@contextlib.asynccontextmanager
async def listening(url: str, tenant: Tenant, since: str | None = None, **query: str) -> AsyncGenerator[Ear]:
    """A socket that was told where it begins."""
    asked = query | ({"since": since} if since else {})
    async with (
        aiohttp.ClientSession(headers=tenant.headers) as http,
        http.ws_connect(f"{url}{PATH}", params=asked) as ws,
    ):
        ear = Ear(ws)
        await ear.next()
        yield ear


async def submit(client: httpx.AsyncClient) -> JobId:
    answer = await client.post("/api/v2/jobs", json={"workflow": picture()})
    value = parse_uuid(answer.json()["id"])
    assert value is not None
    return JobId(value)


async def finished(client: httpx.AsyncClient, stage: Stage, *bodies: bytes) -> JobId:
    job_id = await submit(client)
    await stage.succeed(await stage.start(job_id), bodies or (b"picture",))
    return job_id


async def in_batch(stage: Stage, tenant: Tenant, jobs: list[JobId]) -> uuid.UUID:
    batch_id = new_uuid()
    async with stage.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO batches (id, account_id, workflow, total, keep_until)"
            " VALUES (%s, %s, 'sketch', %s, now() + interval '1 day')",
            (batch_id, tenant.account_id, len(jobs)),
        )
        await tx.execute("UPDATE jobs SET batch_id = %s, workflow = 'sketch' WHERE id = ANY(%s)", (batch_id, jobs))
    return batch_id


async def test_a_socket_hears_a_job_from_its_acceptance_to_its_end(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    async with listening(url, tenant) as ear:
        job_id = await submit(asking)
        claim = await stage.start(job_id)
        await ear.until("job.running")
        await stage.progress(claim, 0.5)
        moved = await ear.until("job.progress")
        await stage.succeed(claim, [b"one"])
        end = await ear.until("job.succeeded")

    assert ear.heard[0]["resumed"] is False
    assert ear.events() == [(str(job_id), seq) for seq in (1, 2, 3, 4)]
    assert (moved["job_id"], moved["progress"]["value"], "cursor" in moved) == (str(job_id), 0.5, False)
    assert (end["state"], end["workflow_id"], end["batch_id"]) == ("succeeded", None, None)
    [output] = [told["output"] for told in ear.heard if told["type"] == "job.output"]
    assert (await asking.get(output["url"])).content == b"one"


async def test_a_foreign_job_is_heard_by_nobody_else(
    url: str, tenant: Tenant, stranger: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    async with listening(url, stranger) as ear, httpx.AsyncClient(base_url=url, headers=stranger.headers) as other:
        await finished(asking, stage)
        own = await submit(other)
        await ear.until("job.queued")

    assert ear.events() == [(str(own), 1)]


async def test_who_comes_back_with_a_cursor_is_told_each_missed_event_once(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    async with listening(url, tenant) as ear:
        first = await finished(asking, stage, b"one", b"two")
        await ear.until("job.succeeded")
    second = await finished(asking, stage)

    found: list[tuple[str, int]] = []
    for told in ear.heard:
        async with listening(url, tenant, told["cursor"]) as again:
            await again.until("job.succeeded", job_id=str(second))
        assert again.heard[0]["type"] == "ready"
        assert again.heard[0]["resumed"] is True
        found = ear.events()[: ear.heard.index(told)] + again.events()
        assert found == [(str(first), seq) for seq in range(1, 6)] + [(str(second), seq) for seq in range(1, 5)]


async def test_a_transaction_that_began_long_before_is_not_missed(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    slow, quick = await submit(asking), await submit(asking)
    async with listening(url, tenant) as ear, stage.database.transaction() as tx:
        await tx.execute("SELECT pg_current_xact_id()")
        await asking.post(f"/api/v1/jobs/{quick}/cancel")
        await ear.until("job.canceled", job_id=str(quick))
        cursor = ear.cursor
        await tx.execute(
            """WITH job AS (UPDATE jobs SET event_seq = 2 WHERE id = %s RETURNING id, created_at)
               INSERT INTO job_events (job_day, job_id, seq, kind, data)
               SELECT (created_at AT TIME ZONE 'UTC')::date, id, 2, 'retry', '{"reason": "late"}' FROM job""",
            (slow,),
        )

    async with listening(url, tenant, cursor) as again:
        late = await again.until("job.retrying")

    assert (late["job_id"], late["reason"]) == (str(slow), "late")
    assert again.events() == [(str(slow), 2)]


async def test_many_missed_events_come_in_pages_each_of_which_can_be_broken_off(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.jobs.stream.PAGE", 3)
    async with listening(url, tenant) as ear:
        begin = ear.cursor
    jobs = [await finished(asking, stage) for _ in range(4)]

    found: list[tuple[str, int]] = []
    cursor = begin
    while len(found) < 16:
        async with listening(url, tenant, cursor) as again:
            told = await again.next()
            found.append((told["job_id"], told["seq"]))
            cursor = told["cursor"]

    assert sorted(found) == sorted((str(job), seq) for job in jobs for seq in (1, 2, 3, 4))
    for job in jobs:
        assert [seq for job_id, seq in found if job_id == str(job)] == [1, 2, 3, 4]


async def test_several_sockets_hear_the_same(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    async with listening(url, tenant) as one, listening(url, tenant) as two:
        await finished(asking, stage)
        await one.until("job.succeeded")
        await two.until("job.succeeded")

    assert one.events() == two.events()


async def test_a_stream_tells_what_a_socket_does(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    async with listening(url, tenant) as ear:
        job_id = await finished(asking, stage)
        await ear.until("job.succeeded")
    begin = ear.heard[0]["cursor"]

    told: list[tuple[str, str]] = []
    async with asking.stream("GET", PATH, headers={"Last-Event-ID": begin}) as response, asyncio.timeout(PATIENCE):
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                told.append((fields["event"], fields["id"]))
                if fields["event"] == "job.succeeded":
                    break
                fields = {}

    assert [name for name, _ in told] == ["ready", "job.queued", "job.running", "job.output", "job.succeeded"]
    async with listening(url, tenant, told[2][1]) as again:
        await again.until("job.succeeded")
    assert again.events() == [(str(job_id), 3), (str(job_id), 4)]


async def test_a_batch_is_told_with_its_jobs(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    jobs = [await submit(asking), await submit(asking)]
    batch_id = await in_batch(stage, tenant, jobs)

    async with listening(url, tenant, batch=str(batch_id)) as ear:
        await submit(asking)
        await stage.succeed(await stage.start(jobs[0]))
        half = await ear.until("batch.progress")
        await asking.post(f"/api/v1/jobs/{jobs[1]}/cancel")
        whole = await ear.until("batch.completed")

    assert (half["batch_id"], half["live"], half["succeeded"], half["progress"]) == (str(batch_id), 1, 1, 0.5)
    assert (whole["live"], whole["succeeded"], whole["canceled"], whole["progress"]) == (0, 1, 1, 1.0)
    assert "cursor" in whole
    assert {job for job, _ in ear.events()} == {str(job) for job in jobs}


async def test_events_are_chosen_by_end_user_and_workflow(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, stage: Stage
) -> None:
    jobs = [await submit(asking) for _ in range(3)]
    async with stage.database.transaction() as tx:
        await tx.execute("UPDATE jobs SET end_user = 'ana' WHERE id = %s", (jobs[1],))
        await tx.execute("UPDATE jobs SET workflow = 'sketch' WHERE id = %s", (jobs[2],))

    async with (
        listening(url, tenant, end_user="ana") as of_ana,
        listening(url, tenant, workflow="sketch") as of_sketch,
    ):
        for job in jobs:
            await asking.post(f"/api/v1/jobs/{job}/cancel")
        await of_ana.until("job.canceled")
        await of_sketch.until("job.canceled")

    assert of_ana.events() == [(str(jobs[1]), 2)]
    assert of_sketch.events() == [(str(jobs[2]), 2)]


async def test_an_admin_hears_everybody(
    url: str, asking: httpx.AsyncClient, database: Database, tenant: Tenant
) -> None:
    operator = await make_tenant(database, "operator", Role.ADMIN)

    async with listening(url, operator, account="all") as ear:
        job_id = await submit(asking)
        queued = await ear.until("job.queued")

    assert (queued["job_id"], queued["account_id"]) == (str(job_id), str(tenant.account_id))
    assert (await asking.get(PATH, params={"account": "all"})).status_code == 403


async def test_a_cursor_that_is_too_old_is_said_to_be(
    url: str, tenant: Tenant, asking: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(url, tenant) as ear:
        begin = Cursor.parse(ear.cursor)
    for _ in range(3):
        await submit(asking)
    elsewhere = replace(begin, seen="9999999999:9999999999:")
    too_old = replace(begin, at=begin.at - 7 * 86_400)

    for cursor in (elsewhere, too_old):
        async with listening(url, tenant, str(cursor)) as again:
            assert again.heard[0]["type"] == "reset"
            job_id = await submit(asking)
            await again.until("job.queued")
        assert again.events() == [(str(job_id), 1)]
    monkeypatch.setattr("atelier.jobs.stream.MOST_MISSED", 2)
    async with listening(url, tenant, str(begin)) as again:
        assert again.heard[0]["type"] == "reset"


@pytest.mark.parametrize(
    "since",
    [
        "x",
        "1",
        "1_1_5-3-",
        "1_1_3-5-7",
        "1_1_3-5-4.4",
        "1_1_3-5-_3-5-",
        "1_1_0-1-",
        "'; --",
        "1_1_3-5-_3-5-_1_x_1",
    ],
)
async def test_what_is_no_cursor_is_refused(asking: httpx.AsyncClient, since: str) -> None:
    answer = await asking.get(PATH, params={"since": since})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")


async def test_who_may_not_come_in_is_told_why(url: str, tenant: Tenant) -> None:
    async def refused(headers: dict[str, str], query: str = "") -> int:
        async with aiohttp.ClientSession(headers=headers) as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as failure:
                await http.ws_connect(f"{url}{PATH}{query}")
            return failure.value.status

    assert await refused({}) == 401
    assert await refused(tenant.headers, "?since=x") == 400
    assert await refused(tenant.headers, "?account=all") == 403
    assert await refused(tenant.headers, "?batch=x") == 400


async def test_sockets_and_streams_are_counted_per_account_and_given_back(
    services: Services, tenant: Tenant
) -> None:
    few = replace(services, streams=StreamSlots(per_owner=1))

    async def no_socket_is_open() -> bool:
        return not few.streams._open

    async with (
        api_process(few) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers) as client,
    ):
        async with listening(url, tenant):
            refused = await client.get(PATH)
        await eventually(no_socket_is_open)
        async with listening(url, tenant) as again:
            assert again.heard[0]["type"] == "ready"

    assert refused.status_code == 429


async def test_the_end_of_the_process_is_said_to_its_sockets(url: str, tenant: Tenant, services: Services) -> None:
    async with listening(url, tenant) as ear:
        services.closing.set()

        with pytest.raises(ConnectionResetError):
            await ear.next()

    assert ear.ws.close_code == 1001


async def test_who_talks_on_is_sent_away(url: str, tenant: Tenant) -> None:
    async with listening(url, tenant) as ear:
        for _ in range(100):
            await ear.ws.send_str("hello")

        with pytest.raises(ConnectionResetError):
            await ear.next()

    assert ear.ws.close_code == 1008


def test_a_cursor_is_read_as_it_was_written() -> None:
    plain = Cursor(5, "10:20:11,13")

    assert Cursor.parse(str(plain)) == plain
