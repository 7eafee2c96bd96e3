"""Webhooks over HTTP, and what they tell of jobs: the account's own, each event once, with links that open."""

import asyncio
import dataclasses
import functools
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.dialects.services import Services
from atelier.dialects.webhook_source import JobSource
from atelier.jobs.recipe import Webhook
from atelier.jobs.store import batches
from atelier.jobs.store.batches import NewBatch, RefusedItem
from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.ids import JobId, new_uuid
from atelier.webhooks.delivering import Delivering
from atelier.webhooks.rules import account_secret, new_secret
from atelier.webhooks.telling import Telling
from support.graphs import picture
from support.receiver import Received, Receiver, receiver
from support.serving import Tenant
from support.stage import Stage
from support.told import loopback_outbound, until
from support.twins import recipe
from support.yard import Yard, requirement

PATH = "/api/v1/webhooks"


@pytest.fixture
def services(services: Services) -> Services:
    """This machine may be told."""
    return dataclasses.replace(services, outbound=loopback_outbound())


@pytest.fixture
async def told() -> AsyncGenerator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def telling(services: Services, base: str) -> AsyncGenerator[None]:
    """Whatever happens is told while the test runs."""
    secret = functools.partial(account_secret, services.links.secret)
    async with background() as work:
        work.start(Telling(services.database, services.wakeups, JobSource(services, base)).run())
        work.start(Delivering(services.database, services.wakeups, services.outbound, secret).run())
        yield


@pytest.fixture
async def yard(database: Database, tenant: Tenant) -> Yard:
    return Yard(database, tenant.account_id, await requirement(database))


async def added(client: httpx.AsyncClient, url: str, **given: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"url": url, **given})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def submitted(client: httpx.AsyncClient, color: int = 0) -> JobId:
    answer = await client.post("/api/v2/jobs", json={"workflow": picture(color=color)})
    return JobId(uuid.UUID(answer.json()["id"]))


def types(received: list[Received]) -> list[str]:
    return [each.document["type"] for each in received]


# What is told ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("telling")
async def test_the_end_of_a_job_is_told_as_its_owner_would_be_shown_it(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, stage: Stage, told: Receiver
) -> None:
    made = await added(client, told.url)
    job_id = await submitted(client)
    await stage.succeed(await stage.start(job_id), [b"one", b"two"])

    [received] = await told.until(1)

    data = received.document["data"]
    shown = (await client.get(f"/api/v1/jobs/{job_id}")).json()
    opened = [(await nobody.get(output["url"])).content for output in data["outputs"]]
    assert received.signed_by(made["secret"])
    assert (received.document["type"], data["id"], data["state"]) == ("job.succeeded", str(job_id), "succeeded")
    assert received.document["timestamp"] >= data["finished_at"]
    assert opened == [b"one", b"two"]
    assert data.keys() == shown.keys()
    assert all(
        after["url_expires_at"] > usual["url_expires_at"]
        for after, usual in zip(data["outputs"], shown["outputs"], strict=True)
    )


@pytest.mark.usefixtures("telling")
async def test_every_way_to_end_is_told(
    client: httpx.AsyncClient, stage: Stage, told: Receiver, yard: Yard
) -> None:
    await added(client, told.url, events=["job.failed", "job.canceled", "job.running"])
    failing, waiting, stopped = [await submitted(client) for _ in range(3)]

    await stage.fail(await stage.start(failing))
    await client.post(f"/api/v1/jobs/{waiting}/cancel")
    claim = await stage.start(stopped)
    await client.post(f"/api/v1/jobs/{stopped}/cancel")
    await stage.let_go(claim)
    received = await told.until(5)

    about = {(each.document["type"], each.document["data"]["id"]) for each in received}
    assert about == {
        ("job.running", str(failing)),
        ("job.failed", str(failing)),
        ("job.canceled", str(waiting)),
        ("job.running", str(stopped)),
        ("job.canceled", str(stopped)),
    }
    failed = next(each.document["data"] for each in received if each.document["type"] == "job.failed")
    assert failed["error"]["message"] == "boom"


@pytest.mark.usefixtures("telling")
async def test_of_evidence_no_address_of_a_server_is_told(
    client: httpx.AsyncClient, stage: Stage, told: Receiver, database: Database
) -> None:
    await added(client, told.url)
    job_id = await submitted(client)
    claim = await stage.start(job_id)
    async with database.autocommit() as tx:
        await tx.execute('UPDATE attempts SET evidence = \'{"reason": "no connection to http://10.0.0.9:8188"}\'')
    await stage.fail(claim)

    [received] = await told.until(1)

    assert b"10.0.0.9" not in received.body


async def test_nothing_is_noted_for_accounts_that_are_not_told(
    client: httpx.AsyncClient, other: httpx.AsyncClient, stage: Stage, database: Database
) -> None:
    await added(other, "https://example.com/")
    off = await added(client, "https://example.com/")
    await client.patch(f"{PATH}/{off['id']}", json={"enabled": False})

    await stage.succeed(await stage.start(await submitted(client)))

    async with database.autocommit() as tx:
        row = await (await tx.execute("SELECT is_called FROM webhook_outbox_id_seq")).fetchone()
    assert row == (False,)


async def test_that_a_job_begins_is_noted_only_for_those_who_named_it(
    client: httpx.AsyncClient, stage: Stage, database: Database
) -> None:
    await added(client, "https://example.com/")
    claim = await stage.start(await submitted(client))
    before = await _nothing_noted(database)
    await stage.succeed(claim)

    assert (before, await _nothing_noted(database)) == (True, False)


@pytest.mark.usefixtures("telling")
async def test_a_job_alone_is_told_of_where_its_request_said(
    stage: Stage, told: Receiver, yard: Yard, tenant: Tenant
) -> None:
    secret = new_secret()
    webhooks = (
        Webhook(f"{told.url}/with", (), secret),
        Webhook(f"{told.url}/own", ("job.running",)),
        Webhook(f"{told.url}/never", ("job.failed",)),
    )
    for webhook in webhooks:
        job = await yard.submit(recipe=recipe(None, webhook=webhook))
        await stage.succeed(await stage.start(job.id))

    received = {each.path: each for each in await told.until(2)}

    assert set(received) == {"/hook/with", "/hook/own"}
    assert received["/hook/with"].signed_by(secret)
    assert received["/hook/own"].signed_by(account_secret(b"link secret", tenant.account_id))


@pytest.mark.usefixtures("telling")
async def test_a_batch_is_told_of_once_when_its_last_job_has_ended(
    client: httpx.AsyncClient, stage: Stage, told: Receiver, yard: Yard
) -> None:
    await added(client, f"{told.url}/account", events=["batch.completed"])
    batch_id = new_uuid()
    batch = NewBatch(
        id=batch_id,
        account_id=yard.account_id,
        end_user="",
        workflow="sunset",
        total=4,
        refused=(RefusedItem(3, {"code": "invalid_parameter", "message": "no"}),),
        webhook=Webhook(f"{told.url}/batch"),
        retention=3600,
    )
    async with yard.database.transaction() as tx:
        await batches.insert(tx, batch)
    many = [await yard.submit(recipe=recipe(None, batch_id=batch_id, batch_index=number)) for number in range(3)]
    claims = [await stage.start(job.id) for job in many]

    await stage.succeed(claims[0])
    await asyncio.sleep(1.5)
    early = len(told.received)
    await asyncio.gather(stage.succeed(claims[1]), stage.fail(claims[2]))
    received = await told.until(2)
    await until(lambda: _nothing_noted(yard.database))

    assert early == 0
    assert sorted(each.path for each in told.received) == ["/hook/account", "/hook/batch"]
    assert types(received) == ["batch.completed"] * 2
    data = received[0].document["data"]
    [shown] = (await client.get("/api/v1/batches")).json()["batches"]
    assert (data["id"], data["status"], data["counts"]) == (str(batch_id), "partial", shown["counts"])
    assert (data["counts"]["succeeded"], data["counts"]["failed"], data["counts"]["refused"]) == (2, 1, 1)
    assert data.keys() == shown.keys()


async def _nothing_noted(database: Database) -> bool:
    async with database.autocommit() as tx:
        return await (await tx.execute("SELECT 1 FROM webhook_outbox")).fetchone() is None


# What is asked ---------------------------------------------------------------------------------


async def test_a_webhook_is_made_shown_changed_and_removed(client: httpx.AsyncClient) -> None:
    made = await added(client, "https://example.com/a", events=["job.failed"], description="mine")
    path = f"{PATH}/{made['id']}"

    shown = (await client.get(path)).json()
    changed = (await client.patch(path, json={"url": "https://example.com/b", "events": []})).json()
    off = (await client.patch(path, json={"enabled": False})).json()
    listed = (await client.get(PATH)).json()["webhooks"]
    gone = [(await client.delete(path)).status_code for _ in range(2)]

    assert made["secret"].startswith("whsec_")
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (shown["events"], shown["description"], shown["enabled"]) == (["job.failed"], "mine", True)
    assert (changed["url"], changed["events"], changed["description"]) == ("https://example.com/b", [], "mine")
    assert (off["enabled"], off["why_disabled"], listed) == (False, "", [off])
    assert gone == [204, 404]


async def test_a_secret_is_shown_when_it_is_made_and_never_again(client: httpx.AsyncClient) -> None:
    own = new_secret()
    made = await added(client, "https://example.com/a", secret=own)

    rotated = (await client.post(f"{PATH}/{made['id']}/secret")).json()
    shown = (await client.get(PATH)).text

    assert made["secret"] == own
    assert rotated["secret"] not in {own, ""}
    assert rotated["former_secret_until"] > made["created_at"]
    assert own not in shown
    assert rotated["secret"] not in shown


async def test_an_accounts_own_secret_is_always_the_same(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    secrets = [(await each.get(f"{PATH}/secret")).json()["secret"] for each in (client, client, other)]

    assert secrets[0] == secrets[1] != secrets[2]


async def test_another_accounts_webhooks_are_not_found(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    made = await added(client, "https://example.com/a")
    path = f"{PATH}/{made['id']}"
    sent = (await client.post(f"{path}/test")).json()
    delivery = f"{PATH}/deliveries/{sent['id']}"

    answers = [
        await other.get(path),
        await other.patch(path, json={"enabled": False}),
        await other.delete(path),
        await other.post(f"{path}/secret"),
        await other.post(f"{path}/test"),
        await other.get(f"{path}/deliveries"),
        await other.get(delivery),
        await other.post(f"{delivery}/replay"),
        await client.get(f"{PATH}/no-uuid"),
        await client.get(f"{PATH}/deliveries/no-uuid"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert (await other.get(PATH)).json() == {"webhooks": []}
    assert (await other.get(f"{PATH}/deliveries")).json() == {"deliveries": [], "next_cursor": None}


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"url": "http://10.0.0.1/"}, "forbidden_address"),
    ({"url": "http://[::1]/"}, "forbidden_address"),
    ({"url": "ftp://example.com/"}, "forbidden_address"),
    ({"url": "https://me:secret@example.com/"}, "forbidden_address"),
    ({"url": "https://example.com:22/"}, "forbidden_address"),
    ({"url": "nonsense"}, "forbidden_address"),
    ({}, "invalid_request"),
    ({"url": "https://example.com/", "events": ["job.done"]}, "invalid_webhook"),
    ({"url": "https://example.com/", "events": ["webhook.test"]}, "invalid_webhook"),
    ({"url": "https://example.com/", "secret": "whsec_short"}, "invalid_webhook"),
    ({"url": "https://example.com/", "colour": "red"}, "invalid_request"),
    ({"url": "https://example.com/", "description": "x" * 201}, "invalid_request"),
)


async def test_what_could_not_work_is_refused(client: httpx.AsyncClient) -> None:
    answers = [await client.post(PATH, json=body) for body, _ in REFUSED]

    assert {answer.status_code for answer in answers} == {400}
    assert [answer.json()["error"]["code"] for answer in answers] == [code for _, code in REFUSED]


async def test_a_change_must_be_one_and_possible(client: httpx.AsyncClient) -> None:
    made = await added(client, "https://example.com/a")

    answers = [
        await client.patch(f"{PATH}/{made['id']}", json=body)
        for body in ({}, {"url": "http://127.0.0.2/"}, {"events": ["x"]}, {"enabled": "no"})
    ]

    assert {answer.status_code for answer in answers} == {400}


async def test_an_account_has_at_most_twenty(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post(PATH, json={"url": f"https://example.com/{number}"}) for number in range(23))
    )

    refused = [answer for answer in answers if answer.status_code == 409]
    assert [answer.json()["error"]["code"] for answer in refused] == ["too_many_webhooks"] * 3
    assert len((await client.get(PATH)).json()["webhooks"]) == 20


@pytest.mark.usefixtures("telling")
async def test_a_test_tells_how_it_went_and_can_be_told_again(client: httpx.AsyncClient, told: Receiver) -> None:
    made = await added(client, told.url, description="mine")
    told.answers, told.said = [500], "not today"
    path = f"{PATH}/{made['id']}"

    sent = (await client.post(f"{path}/test")).json()
    delivery = f"{PATH}/deliveries/{sent['id']}"
    await told.until(1)
    await until(lambda: _has(client, delivery, "failed"))
    failed = (await client.get(delivery)).json()
    again = await client.post(f"{delivery}/replay")
    await until(lambda: _has(client, delivery, "delivered"))
    whole = (await client.get(delivery)).json()

    assert (sent["state"], sent["event"], again.status_code) == ("pending", "webhook.test", 202)
    assert (failed["last_try"]["status"], failed["last_try"]["said"]) == (500, "not today")
    assert [(each["number"], each["status"]) for each in whole["log"]] == [(1, 500), (2, 204)]
    assert whole["body"]["data"] == {"webhook_id": made["id"], "description": "mine"}
    assert {each.id for each in told.received} == {sent["id"]}


async def _has(client: httpx.AsyncClient, path: str, state: str) -> bool:
    return bool((await client.get(path)).json()["state"] == state)


async def test_deliveries_come_newest_first_in_pages_and_by_state(client: httpx.AsyncClient) -> None:
    first, second = await added(client, "https://example.com/a"), await added(client, "https://example.com/b")
    sent = [(await client.post(f"{PATH}/{made['id']}/test")).json()["id"] for made in (first, first, second)]

    page = (await client.get(f"{PATH}/deliveries", params={"limit": 2})).json()
    rest = (await client.get(f"{PATH}/deliveries", params={"cursor": page["next_cursor"]})).json()
    own = (await client.get(f"{PATH}/{first['id']}/deliveries")).json()
    failed = (await client.get(f"{PATH}/deliveries", params={"state": "failed"})).json()
    bad = [
        (await client.get(f"{PATH}/deliveries", params=query)).status_code
        for query in ({"cursor": "x"}, {"state": "lost"}, {"limit": "0"})
    ]

    assert [each["id"] for each in (*page["deliveries"], *rest["deliveries"])] == sent[::-1]
    assert [each["id"] for each in own["deliveries"]] == sent[1::-1]
    assert (rest["next_cursor"], failed["deliveries"], set(bad)) == (None, [], {400})


@pytest.mark.parametrize("word", ["deliveries", "secret"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_word_in_the_place_of_an_id_is_no_webhook(
    client: httpx.AsyncClient, method: str, word: str
) -> None:
    refused = await client.request(method, f"{PATH}/{word}", json={"enabled": False})

    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET, HEAD"
