import asyncio
from pathlib import Path

import pytest

from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed
from atelier.kit.migrations import migrate
from support.postgres import SCHEMA, opened

NAMES = "SELECT name FROM schema_files ORDER BY name"
TABLES = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"


def write(folder: Path, **files: str) -> Path:
    for name, body in files.items():
        (folder / f"{name.lstrip('_')}.sql").write_text(body, encoding="utf-8")
    return folder


async def column(database: Database, question: str) -> set[str]:
    async with database.transaction() as tx:
        return {str(value) for (value,) in await (await tx.execute(question.encode())).fetchall()}


async def test_files_run_once_and_in_order(empty_database_url: str, tmp_path: Path) -> None:
    folder = write(
        tmp_path, _0001_a="CREATE TABLE a (n int)", _0002_b="ALTER TABLE a ADD m int; CREATE TABLE b ()"
    )

    async with opened(empty_database_url) as database:
        first = await migrate(database, folder)
        second = await migrate(database, folder)

    assert first == ["0001_a.sql", "0002_b.sql"]
    assert second == []


async def test_a_later_file_runs_alone(empty_database_url: str, tmp_path: Path) -> None:
    async with opened(empty_database_url) as database:
        await migrate(database, write(tmp_path, _0001_a="CREATE TABLE a ()"))

        later = await migrate(database, write(tmp_path, _0002_b="CREATE TABLE b ()"))

    assert later == ["0002_b.sql"]


async def test_a_file_that_fails_leaves_nothing_of_any_file_of_its_run(
    empty_database_url: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, _0001_a="CREATE TABLE a ()", _0002_b="CREATE TABLE b (); SELECT nonsense")

    async with opened(empty_database_url) as database:
        with pytest.raises(SetupFailed, match=r"0002_b.sql.*nonsense"):
            await migrate(database, folder)
        tables = await column(database, TABLES)

    assert tables == set()


async def test_processes_that_race_run_each_file_once(empty_database_url: str) -> None:
    async def one() -> list[str]:
        async with opened(empty_database_url) as database:
            return list(await migrate(database, SCHEMA))

    async with asyncio.TaskGroup() as group:
        racers = [group.create_task(one()) for _ in range(4)]
    ran = [name for racer in racers for name in racer.result()]

    assert sorted(ran) == sorted(file.name for file in SCHEMA.glob("[0-9]*.sql"))
    async with opened(empty_database_url) as database:
        assert await column(database, NAMES) == set(ran)
