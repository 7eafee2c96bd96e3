"""What is sent for an account reaches everybody who listens for it, here at once and elsewhere within a moment."""

import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

import pytest

from atelier.jobs.outbox import MAX_BYTES, MAX_FRAMES, PREVIEW_SECONDS, Outbox
from atelier.jobs.relay import Frame, FrameKind, Relay
from atelier.kit.background import background
from atelier.kit.ids import AccountId, JobId
from atelier.kit.wakeups import Wakeups
from support.postgres import opened

ACCOUNT, STRANGER = AccountId(uuid.uuid4()), AccountId(uuid.uuid4())
JOB = JobId(uuid.uuid4())
LISTENER = """
import asyncio, sys, uuid
from atelier.jobs.relay import Relay
from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups

async def main(url, account):
    database = Database(url)
    await database.open()
    wakeups = Wakeups(database)
    relay = Relay(database, wakeups)
    async with background() as tasks:
        tasks.start(wakeups.run())
        tasks.start(relay.run())
        async with relay.listen(uuid.UUID(account), lambda frame: print(frame.body, flush=True)):
            print("listening", flush=True)
            await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


def state(body: str | bytes, job_id: JobId = JOB) -> Frame:
    return Frame(ACCOUNT, job_id, "me", FrameKind.STATE, body)


def progress(body: str, key: str = "3") -> Frame:
    return Frame(ACCOUNT, JOB, "me", FrameKind.PROGRESS, body, key)


def preview(body: bytes, job_id: JobId = JOB) -> Frame:
    return Frame(ACCOUNT, job_id, "me", FrameKind.PREVIEW, body)


@dataclass
class Ear:
    frames: list[Frame] = field(default_factory=list[Frame])
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.more.set()

    async def until(self, enough: Callable[[list[Frame]], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not enough(self.frames):
                await self.more.wait()
                self.more.clear()

    @property
    def bodies(self) -> list[str | bytes]:
        return [frame.body for frame in self.frames]


@contextlib.asynccontextmanager
async def relay_on(url: str) -> AsyncGenerator[Relay]:
    """A relay with a pool and a bus of its own, as in a process of its own."""
    async with opened(url) as database, background() as tasks:
        wakeups = Wakeups(database)
        relay = Relay(database, wakeups)
        tasks.start(wakeups.run())
        tasks.start(relay.run())
        yield relay


@contextlib.asynccontextmanager
async def pair(url: str) -> AsyncGenerator[tuple[Relay, Relay]]:
    async with relay_on(url) as sender, relay_on(url) as listener:
        yield sender, listener


async def rows(url: str, table: str) -> int:
    async with opened(url) as database, database.autocommit() as tx:
        row = await (await tx.execute(f"SELECT count(*) FROM {table}".encode())).fetchone()  # noqa: S608 - fixed names
        assert row is not None
        return int(row[0])


async def test_who_listens_in_this_process_hears_in_the_same_moment_and_nothing_is_written(
    database_url: str,
) -> None:
    ear, other = Ear(), Ear()
    async with relay_on(database_url) as relay:
        async with relay.listen(ACCOUNT, ear.hear), relay.listen(STRANGER, other.hear):
            assert relay.wanted(ACCOUNT)
            relay.send(state("one"))
            relay.send(preview(b"two"))

            heard = list(ear.frames)
        relay.send(state("three"))
        await asyncio.sleep(0.1)

        assert not relay.wanted(ACCOUNT)
    assert heard == ear.frames == [state("one"), preview(b"two")]
    assert other.frames == []
    assert await rows(database_url, "relayed") == 0


async def test_a_listener_that_fails_harms_nobody(database_url: str) -> None:
    ear = Ear()

    def broken(_: Frame) -> None:
        raise ValueError

    async with relay_on(database_url) as relay, relay.listen(ACCOUNT, broken), relay.listen(ACCOUNT, ear.hear):
        relay.send(state("one"))

    assert ear.bodies == ["one"]


async def test_another_process_hears_in_order_and_knows_as_soon_as_it_is_asked(database_url: str) -> None:
    ear, other = Ear(), JobId(uuid.uuid4())
    async with pair(database_url) as (sender, listener), listener.listen(ACCOUNT, ear.hear):
        assert await sender.look(ACCOUNT)
        assert not await sender.look(STRANGER)
        for number in range(200):
            sender.send(state(f"a{number}"))
            sender.send(state(b"b%d" % number, other))
            if number % 50 == 0:
                await asyncio.sleep(0.02)

        await ear.until(lambda frames: len(frames) == 400)

    assert [frame.body for frame in ear.frames if frame.job_id == JOB] == [f"a{n}" for n in range(200)]
    assert [frame.body for frame in ear.frames if frame.job_id == other] == [b"b%d" % n for n in range(200)]
    assert ear.frames[0] == state("a0")


async def test_a_dispatcher_learns_by_itself_who_listens_and_who_left(database_url: str) -> None:
    async with pair(database_url) as (sender, listener):
        async with listener.listen(ACCOUNT, Ear().hear):
            await until(lambda: sender.wanted(ACCOUNT))

        await until(lambda: not sender.wanted(ACCOUNT))


async def test_what_was_sent_before_somebody_came_is_not_told_again(database_url: str) -> None:
    first, second = Ear(), Ear()
    async with (
        pair(database_url) as (sender, listener),
        relay_on(database_url) as third,
        listener.listen(ACCOUNT, first.hear),
    ):
        await sender.look(ACCOUNT)
        sender.send(state("before"))
        await first.until(bool)
        async with third.listen(ACCOUNT, second.hear):
            sender.send(state("after"))
            await second.until(bool)

    assert second.bodies == ["after"]


async def test_what_was_flushed_can_be_read_at_once(database_url: str) -> None:
    ear = Ear()
    async with pair(database_url) as (sender, listener), listener.listen(ACCOUNT, ear.hear):
        await sender.look(ACCOUNT)
        for number in range(3):
            sender.send(state(f"{number}"))

        await sender.flush(JOB)
        await listener.catch_up([JOB])

        assert ear.bodies == ["0", "1", "2"]
        await sender.flush(JOB)


async def test_a_listener_that_is_killed_leaves_nothing_behind(database_url: str) -> None:
    async with relay_on(database_url) as sender:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LISTENER, database_url, str(ACCOUNT), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"listening\n"
        assert await sender.look(ACCOUNT)
        sender.send(state("hello"))
        assert await process.stdout.readline() == b"hello\n"
        process.kill()
        await process.wait()
        await age(database_url, "UPDATE listeners SET until = until - interval '15 seconds'")
        await age(database_url, "UPDATE relayed SET created_at = created_at - interval '61 seconds'")

        await until(lambda: not sender.wanted(ACCOUNT))
    async with relay_on(database_url) as later, later.listen(STRANGER, Ear().hear):
        await until_async(database_url, "relayed", 0)
        assert await rows(database_url, "listeners") == 1


async def test_own_messages_are_deleted_when_they_are_old(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.jobs.relay.KEPT_SECONDS", 0.05)
    monkeypatch.setattr("atelier.jobs.relay.CLEAN_SECONDS", 0.05)
    ear = Ear()
    async with pair(database_url) as (sender, listener), listener.listen(ACCOUNT, ear.hear):
        await sender.look(ACCOUNT)
        sender.send(state("one"))
        await ear.until(bool)

        await until_async(database_url, "relayed", 0)


async def test_an_outage_costs_messages_and_is_healed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections are cut and the unlogged tables are empty, as after a crash of PostgreSQL."""
    monkeypatch.setattr("atelier.jobs.relay.RENEW_SECONDS", 0.2)
    monkeypatch.setattr("atelier.jobs.relay.REFRESH_SECONDS", 0.2)
    ear = Ear()
    async with pair(database_url) as (sender, listener), listener.listen(ACCOUNT, ear.hear):
        await sender.look(ACCOUNT)
        sender.send(state("before"))
        await ear.until(bool)
        await age(
            database_url,
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()""",
            "TRUNCATE relayed, listeners",
        )

        sent = 0
        async with asyncio.timeout(15):
            while "after" not in "".join(map(str, ear.bodies)):
                sender.send(state(f"after {sent}"))
                sent += 1
                await asyncio.sleep(0.05)

    assert ear.bodies == sorted(ear.bodies, key=lambda body: int(str(body).partition(" ")[2] or -1))


def test_of_progress_the_newest_of_each_node_is_kept_and_everything_else_in_its_order() -> None:
    box = Outbox(lambda: 0.0)
    for frame in (
        progress("3: 1"),
        state("executing 4"),
        progress("4: 1", "4"),
        progress("3: 2"),
        state("executed"),
        progress("3: 3"),
    ):
        box.put(frame)

    assert [frame.body for frame in box.take()] == ["executing 4", "4: 1", "executed", "3: 3"]
    assert box.take() == []


def test_previews_of_one_job_are_few() -> None:
    now = 0.0
    box = Outbox(lambda: now)
    other = JobId(uuid.uuid4())
    for number in range(100):
        now = number * PREVIEW_SECONDS / 10
        box.put(preview(b"%d" % number))
    box.put(preview(b"other", other))

    taken = box.take()

    assert 8 <= len([frame for frame in taken if frame.job_id == JOB]) <= 10
    assert taken[-1].job_id == other


def test_memory_is_bounded_and_what_may_be_lost_goes_first() -> None:
    box = Outbox(lambda: 0.0)
    for number in range(MAX_FRAMES):
        box.put(state(f"{number}") if number < 10 else progress(f"{number}", f"{number}"))

    box.put(state("last"))
    taken = box.take()

    assert [frame.body for frame in taken] == [*(f"{n}" for n in range(10)), "last"]
    assert box.dropped == MAX_FRAMES - 10


def test_large_messages_are_bounded_in_bytes_and_the_oldest_go_first() -> None:
    box, body = Outbox(lambda: 0.0), b"x" * (MAX_BYTES // 10)
    for number in range(30):
        box.put(replace(state(body), client_id=f"{number}"))

    taken = box.take()

    assert sum(len(frame.body) for frame in taken) <= MAX_BYTES
    assert taken[-1].client_id == "29"


async def until(enough: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not enough():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


async def until_async(url: str, table: str, count: int, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while await rows(url, table) != count:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.05)


async def age(url: str, *statements: str) -> None:
    async with opened(url) as database, database.autocommit() as tx:
        for statement in statements:
            await tx.execute(statement.encode())
