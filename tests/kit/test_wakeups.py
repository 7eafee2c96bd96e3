"""A wake-up reaches who waits for it: here at once, elsewhere soon, and never only while nobody looked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import psycopg
import pytest

from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.wakeups import CHANNEL, Wakeups
from support.postgres import opened
from tools.chaos.fault_proxy import before_database

SOON = 10.0
"""A bound for a broken machine, not an expectation (seconds)."""


@contextlib.asynccontextmanager
async def running(*buses: Wakeups) -> AsyncGenerator[None]:
    async with background() as tasks:
        for bus in buses:
            tasks.start(bus.run())
        yield


@pytest.fixture
async def other(database_url: str) -> AsyncGenerator[Wakeups]:
    """The bus of another process."""
    async with opened(database_url) as database:
        yield Wakeups(database)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110 - the tests look from outside
            await asyncio.sleep(0.01)


async def test_who_waits_in_this_process_hears_at_once(database: Database) -> None:
    bus = Wakeups(database)

    with bus.subscribe("queue") as woken:
        bus.publish("queue")

        assert await woken.wait(0)


async def test_a_wake_up_between_the_look_and_the_wait_is_not_lost(database: Database) -> None:
    bus = Wakeups(database)

    with bus.subscribe("queue") as woken:
        bus.publish("queue")
        await asyncio.sleep(0)

        assert await woken.wait(0.01)
        assert not await woken.wait(0.01)


async def test_many_wake_ups_are_one(database: Database) -> None:
    bus = Wakeups(database)

    with bus.subscribe("queue", "cancel") as woken:
        for topic in ("queue", "cancel", "queue"):
            bus.publish(topic)

        assert await woken.wait(0)
        assert not await woken.wait(0)


async def test_only_ones_own_topics_wake(database: Database) -> None:
    bus = Wakeups(database)

    with bus.subscribe("queue", "queue") as woken:
        bus.publish("cancel")

        assert not await woken.wait(0.01)


async def test_everybody_who_waits_hears(database: Database) -> None:
    bus = Wakeups(database)

    with bus.subscribe("queue") as one, bus.subscribe("queue") as another:
        bus.publish("queue")

        assert await one.wait(0)
        assert await another.wait(0)


async def test_who_stopped_waiting_is_forgotten(database: Database) -> None:
    bus = Wakeups(database)
    with bus.subscribe("queue", "queue", "cancel"):
        pass

    bus.publish("queue")

    assert not bus._subscribers


async def test_another_process_hears(database: Database, other: Wakeups) -> None:
    bus = Wakeups(database)
    async with running(bus, other):
        with other.subscribe("job:1") as woken:
            await woken.wait(0.5)  # its listener begins with a wake-up of everybody
            bus.publish("job:1")

            assert await woken.wait(SOON)


async def test_another_process_hears_what_was_published_before_the_carrier_ran(
    database: Database, other: Wakeups
) -> None:
    bus = Wakeups(database)
    async with running(other):
        with other.subscribe("job:1") as woken:
            await woken.wait(0.5)
            bus.publish("job:1")
            async with running(bus):
                assert await woken.wait(SOON)


async def test_ones_own_wake_up_does_not_come_back(database: Database, other: Wakeups) -> None:
    bus = Wakeups(database)
    async with running(bus, other):
        with bus.subscribe("queue") as mine, other.subscribe("queue") as theirs:
            await until(lambda: theirs._event.is_set() and mine._event.is_set())
            assert await mine.wait(0)
            assert await theirs.wait(0)
            bus.publish("queue")
            assert await mine.wait(0)
            assert await theirs.wait(SOON)

            assert not await mine.wait(0.1)


async def test_a_broken_connection_is_made_again_and_wakes_everybody_in_case_they_missed_something(
    database: Database, other: Wakeups
) -> None:
    bus = Wakeups(database)
    async with running(bus, other):
        with other.subscribe("queue") as woken:
            assert await woken.wait(SOON)
            async with database.autocommit() as tx:
                await tx.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'atelier-wakeups' AND datname = current_database()"
                )

            assert await woken.wait(SOON)
            bus.publish("queue")
            assert await woken.wait(SOON)


async def test_what_could_not_be_sent_is_sent_later(database: Database, other: Wakeups) -> None:
    bus = Wakeups(database)
    async with running(other):
        with other.subscribe("queue") as woken:
            assert await woken.wait(SOON)
            bus.publish("queue")
            async with await database.connect() as broken:
                await broken.close()
                with pytest.raises(psycopg.OperationalError):
                    await bus._send(broken)

            async with running(bus):
                assert await woken.wait(SOON)


async def test_a_thousand_topics_arrive_in_few_notifications(database: Database, other: Wakeups) -> None:
    bus = Wakeups(database)
    async with running(bus, other), contextlib.AsyncExitStack() as stack:
        waiting = [stack.enter_context(other.subscribe(f"job:{number}")) for number in range(1000)]
        for woken in waiting:
            await woken.wait(SOON)
        for number in range(1000):
            bus.publish(f"job:{number}")

        for woken in waiting:
            assert await woken.wait(SOON)


async def test_a_foreign_payload_harms_nobody(database: Database) -> None:
    bus = Wakeups(database)
    async with running(bus):
        with bus.subscribe("queue") as woken:
            assert await woken.wait(SOON)
            async with database.autocommit() as tx:
                for payload in ("", "queue", "somebody queue"):
                    await tx.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

            assert await woken.wait(SOON)


async def test_a_wake_up_is_never_longer_than_a_notification_may_be(database: Database, other: Wakeups) -> None:
    bus = Wakeups(database)
    async with running(bus, other):
        with other.subscribe("queue") as woken:
            assert await woken.wait(SOON)
            bus.publish("x" * 10_000)
            bus.publish("queue")

            assert await woken.wait(SOON)


async def test_a_connection_that_went_silent_is_given_up_and_loses_nothing(
    database_url: str, other: Wakeups, tmp_path: Path
) -> None:
    async with before_database(database_url, tmp_path) as (proxy, through_proxy):
        bus = Wakeups(Database(database_url, listen_url=through_proxy))
        async with running(bus, other):
            with other.subscribe("queue") as woken:
                assert await woken.wait(SOON)  # it listens
                proxy.on("swallow", b"pg_notify")

                bus.publish("queue")

                assert await woken.wait(2 * SOON)
                assert proxy.met == 1
