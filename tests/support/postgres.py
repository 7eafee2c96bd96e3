"""Every test gets a fresh database of its own, with all tables, on one embedded server for the whole run."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

import atelier.entry
from atelier.kit.database import Database
from atelier.kit.migrations import migrate
from atelier.kit.postgres import EmbeddedPostgres, locks, pidfile
from atelier.tasks import prepare

SCHEMA = Path(atelier.entry.__file__).parent / "schema"
TEMPLATE = "migrated"
PREFIX = "atelier-tests-"


@pytest.fixture(scope="session")
def postgres_url() -> Generator[str]:
    """The URL of a running embedded server. It forgets its data with the test run, so it need not fsync."""
    _clear_up_after_killed_runs()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with asyncio.Runner() as runner:
        server = runner.run(EmbeddedPostgres.start(folder))
        try:
            runner.run(_hurry(server.url))
            yield server.url
        finally:
            runner.run(server.leave())
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_url(postgres_url: str) -> str:
    """The URL of a migrated database that nobody is connected to. Copy it with `fresh_database`."""
    url = make_url(postgres_url, TEMPLATE)
    asyncio.run(_make_template(postgres_url, url))
    return url


@pytest.fixture
async def database_url(postgres_url: str, template_url: str) -> AsyncGenerator[str]:
    """The libpq URL of a migrated database of this test's own."""
    async with fresh_database(postgres_url, template=TEMPLATE) as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncGenerator[str]:
    """The libpq URL of an empty database of this test's own."""
    async with fresh_database(postgres_url, template="template0") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """An opened migrated database of this test's own."""
    async with opened(database_url) as database:
        yield database


@contextlib.asynccontextmanager
async def fresh_database(postgres_url: str, *, template: str) -> AsyncGenerator[str]:
    """A new database on the server of `postgres_url`, dropped afterwards whoever is still connected to it."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(
        postgres_url, sql.SQL("CREATE DATABASE {} TEMPLATE {}"), sql.Identifier(name), sql.Identifier(template)
    )
    try:
        yield make_url(postgres_url, name)
    finally:
        await _execute(postgres_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), sql.Identifier(name))


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def make_url(postgres_url: str, name: str) -> str:
    return urlsplit(postgres_url)._replace(path=f"/{name}").geturl()


async def _make_template(postgres_url: str, url: str) -> None:
    await _execute(postgres_url, sql.SQL("CREATE DATABASE {}"), sql.Identifier(TEMPLATE))
    async with opened(url) as database:
        await migrate(database, SCHEMA)
        await prepare(database)


def _clear_up_after_killed_runs() -> None:
    """A test run that was killed leaves a server that nobody shares any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/users.lock"):
        with contextlib.suppress(OSError), locks.opened(lock) as users:
            if users.take_alone():
                _end_server(lock.parent)


def _end_server(folder: Path) -> None:
    found = pidfile.read(folder / "data")
    if found is not None and pidfile.works_in(found.pid, folder / "data"):
        os.kill(found.pid, signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


async def _hurry(url: str) -> None:
    """Dropping a database waits for a checkpoint, which is cheap only while nothing waits for the disk."""
    for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off", "wal_init_zero = off"):
        await _execute(url, sql.SQL("ALTER SYSTEM SET ") + sql.SQL(setting))
    await _execute(url, sql.SQL("SELECT pg_reload_conf()"))


async def _execute(url: str, statement: sql.SQL | sql.Composed, *names: sql.Identifier) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.format(*names) if isinstance(statement, sql.SQL) else statement)
