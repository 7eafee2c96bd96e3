"""A worker outlives a PostgreSQL that goes away, and can be stopped while it is away."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator

import pytest

from atelier.kit.database import Database
from atelier.kit.migrations import migrate
from atelier.kit.postgres import EmbeddedPostgres
from atelier.kit.wakeups import Wakeups
from atelier.tasks import Rhythm, Tasks, prepare
from atelier.tasks.worker import QUERY_SECONDS
from support.postgres import SCHEMA, opened
from support.postgres_users import Site as Server
from support.tasks_workers import Site, running, until

RHYTHM = Rhythm(heartbeat=0.2, stalled=1.0, poll=0.2, grace=0.5)
PATIENT = dataclasses.replace(RHYTHM, stalled=2.0)


@pytest.fixture
async def own_database(site: Server) -> AsyncGenerator[Database]:
    """On a server that the test may kill."""
    server = await EmbeddedPostgres.start(site.folder)
    async with opened(server.url) as database:
        await migrate(database, SCHEMA)
        await prepare(database)
        yield database
    await server.leave()


def counting(database: Database, done: list[str]) -> Tasks:
    async def note(what: str) -> None:
        done.append(what)

    tasks = Tasks(database, Wakeups(database), rhythm=RHYTHM)
    tasks.add("note", note)
    return tasks


async def test_a_worker_goes_on_after_postgresql_was_away(
    own_database: Database, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.tasks.worker.QUERY_SECONDS", 0.3)
    done: list[str] = []
    tasks_site = Site(own_database)
    async with running(counting(own_database, done)):
        await tasks_site.defer("note", "a", what="before")
        await until([], tasks_site.statuses)
        await site.crash()
        await asyncio.sleep(1.0)
        again = await EmbeddedPostgres.start(site.folder)
        await tasks_site.defer("note", "b", what="after")
        await until([], tasks_site.statuses)
    await again.leave()

    assert done == ["before", "after"]


async def test_a_task_whose_result_could_not_be_stored_is_run_again(
    own_database: Database, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL goes away while the task runs, and the task does not notice."""
    monkeypatch.setattr("atelier.tasks.worker.QUERY_SECONDS", 0.3)
    runs: list[str] = []
    go_on = asyncio.Event()

    async def hold() -> None:
        runs.append("run")
        await go_on.wait()

    tasks = Tasks(own_database, Wakeups(own_database), rhythm=RHYTHM)
    tasks.add("hold", hold)
    tasks_site = Site(own_database)
    async with running(tasks):
        await tasks_site.defer("hold", "a")
        await until(["doing"], tasks_site.statuses)
        await site.crash()
        go_on.set()
        await asyncio.sleep(1.0)
        again = await EmbeddedPostgres.start(site.folder)
        await until([], tasks_site.statuses)
    await again.leave()

    assert runs == ["run", "run"]


async def test_a_worker_can_be_stopped_while_postgresql_is_away(own_database: Database, site: Server) -> None:
    async with asyncio.timeout(30):
        async with running(counting(own_database, [])):
            await until(["1"], Site(own_database).workers)
            await site.crash()
            await asyncio.sleep(0.5)

    assert not site.lives()


async def test_after_an_absence_longer_than_silence_lasts_living_workers_keep_their_tasks(
    own_database: Database, site: Server
) -> None:
    runs: list[str] = []
    go_on = asyncio.Event()

    async def hold() -> None:
        runs.append("run")
        await go_on.wait()

    tasks = Tasks(own_database, Wakeups(own_database), rhythm=PATIENT)
    tasks.add("hold", hold)
    tasks_site = Site(own_database)
    async with running(tasks):
        await tasks_site.defer("hold", "a")
        await until(["doing"], tasks_site.statuses)
        await site.crash()
        await asyncio.sleep(QUERY_SECONDS + PATIENT.stalled)
        again = await EmbeddedPostgres.start(site.folder)
        await asyncio.sleep(2 * PATIENT.stalled)
        go_on.set()
        await until([], tasks_site.statuses)
    await again.leave()

    assert runs == ["run"]
