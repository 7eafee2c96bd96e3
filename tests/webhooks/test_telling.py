"""Every note becomes its messages once: for the endpoints that want it, and the addresses that were asked for."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from atelier.kit import clock
from atelier.kit.background import background
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, new_uuid
from atelier.webhooks import service
from atelier.webhooks.model import Asked, Event, Happening
from atelier.webhooks.telling import Telling
from support.told import Office, until


@dataclass
class Happenings:
    """What notes mean is what the test says; the rest means nothing, and some cannot be read."""

    known: dict[uuid.UUID, tuple[Happening, ...]] = field(default_factory=dict[uuid.UUID, tuple[Happening, ...]])
    broken: set[uuid.UUID] = field(default_factory=set[uuid.UUID])
    read: int = 0

    async def happened(self, tx: Tx, job_id: uuid.UUID, seq: int) -> tuple[Happening, ...]:
        del tx, seq
        if job_id in self.broken:
            raise LookupError("a bug")
        return self.known.get(job_id, ())

    async def data(self, tx: Tx, happening: Happening) -> Mapping[str, Any]:
        del tx
        self.read += 1
        return {"id": str(happening.about)}


@dataclass
class Bureau:
    office: Office
    source: Happenings

    def telling(self) -> Telling:
        return Telling(self.office.database, self.office.wakeups, self.source)

    async def happens(
        self, event: Event = Event.SUCCEEDED, *asked: Asked, account_id: AccountId | None = None
    ) -> uuid.UUID:
        about = new_uuid()
        whose = account_id or self.office.account_id
        self.source.known[about] = (Happening(whose, event, about, clock.utcnow(), asked),)
        await self.note(about)
        return about

    async def note(self, about: uuid.UUID) -> None:
        await self.office.run("INSERT INTO webhook_outbox (job_id, seq) VALUES (%s, 1)", about)

    async def notes(self) -> int:
        [(count,)] = await self.office.rows("SELECT count(*) FROM webhook_outbox")
        return int(count)

    async def tell_all(self) -> None:
        telling = self.telling()
        while await telling.step():
            pass

    async def written(self) -> list[tuple[str, str, str | None]]:
        """Address, event and secret of every message."""
        rows = await self.office.rows("SELECT url, event, secret FROM webhook_deliveries ORDER BY url, event")
        return [(url, event, secret) for url, event, secret in rows]


@pytest.fixture
def bureau(office: Office) -> Bureau:
    return Bureau(office, Happenings())


async def test_each_endpoint_is_told_what_it_wants(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://ends.example/")
    await bureau.office.endpoint("https://failed.example/", events=["job.failed", "job.running"])
    off = await bureau.office.endpoint("https://off.example/")
    async with bureau.office.database.transaction() as tx:
        change = service.Change(enabled=False)
        await service.change(tx, bureau.office.outbound, bureau.office.account_id, off.id, change)
    for event in (Event.RUNNING, Event.SUCCEEDED, Event.FAILED, Event.COMPLETED):
        await bureau.happens(event)

    await bureau.tell_all()

    assert [(url, event) for url, event, _ in await bureau.written()] == [
        ("https://ends.example/", "batch.completed"),
        ("https://ends.example/", "job.failed"),
        ("https://ends.example/", "job.succeeded"),
        ("https://failed.example/", "job.failed"),
        ("https://failed.example/", "job.running"),
    ]
    assert await bureau.notes() == 0


async def test_an_address_of_a_request_is_told_with_its_secret(bureau: Bureau) -> None:
    await bureau.happens(Event.FAILED, Asked("https://own.example/", (), "whsec_x"), Asked("https://two.example/"))

    await bureau.tell_all()

    assert await bureau.written() == [
        ("https://own.example/", "job.failed", "whsec_x"),
        ("https://two.example/", "job.failed", None),
    ]


async def test_nobody_is_told_of_another_accounts_jobs(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://mine.example/")
    await bureau.happens(account_id=AccountId(new_uuid()))

    await bureau.tell_all()

    assert await bureau.written() == []


async def test_a_message_bears_its_type_its_time_and_its_data(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://mine.example/")
    about = await bureau.happens()

    await bureau.tell_all()

    [(body, told_of)] = await bureau.office.rows("SELECT body::json, about FROM webhook_deliveries")
    assert (set(body), body["type"], told_of) == ({"type", "timestamp", "data"}, "job.succeeded", about)
    assert (body["data"], body["timestamp"][-1]) == ({"id": str(about)}, "Z")


async def test_what_nobody_wants_is_not_spelled_out(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://failed.example/", events=["job.failed"])
    await bureau.happens(Event.SUCCEEDED)

    await bureau.tell_all()

    assert (bureau.source.read, await bureau.notes()) == (0, 0)


async def test_the_same_event_is_told_once_whoever_notes_it_again(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://mine.example/")
    about = await bureau.happens(Event.SUCCEEDED, Asked("https://own.example/"), Asked("https://own.example/"))
    await bureau.note(about)

    await bureau.tell_all()

    assert [url for url, *_ in await bureau.written()] == ["https://mine.example/", "https://own.example/"]


async def test_a_note_that_cannot_be_read_stands_in_nobodys_way(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://mine.example/")
    bad = new_uuid()
    bureau.source.broken.add(bad)
    await bureau.note(bad)
    await bureau.happens()

    await bureau.tell_all()
    left = await bureau.notes()
    bureau.source.broken.clear()
    await bureau.office.run("UPDATE webhook_outbox SET not_before = now()")
    await bureau.tell_all()

    assert (len(await bureau.written()), left, await bureau.notes()) == (1, 1, 0)


async def test_several_tell_together_and_everything_once(bureau: Bureau) -> None:
    await bureau.office.endpoint("https://mine.example/")
    for _ in range(30):
        await bureau.happens()

    async def empty() -> bool:
        return await bureau.notes() == 0

    async with background() as work:
        for _ in range(3):
            work.start(bureau.telling().run())
        await until(empty)

    assert len(await bureau.written()) == 30
