import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from atelier.kit.database import Database, Tx
from atelier.kit.errors import SetupFailed
from atelier.kit.postgres import EmbeddedPostgres, embedded
from support.postgres import opened
from support.postgres_users import Site
from tools.chaos.fault_proxy import before_database

KILL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def count(tx: Tx) -> int:
    row = await (await tx.execute("SELECT count(*) FROM accounts")).fetchone()
    assert row is not None
    return int(row[0])


async def add(tx: Tx, name: str) -> None:
    await tx.execute("INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), %s)", (name,))


async def test_a_transaction_is_committed_when_its_block_ends(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "one")

    async with database.transaction() as other:
        assert await count(other) == 1


async def test_a_transaction_is_rolled_back_when_its_block_raises(database: Database) -> None:
    async def give_up() -> None:
        async with database.transaction() as tx:
            await add(tx, "one")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await give_up()

    async with database.transaction() as other:
        assert await count(other) == 0


@pytest.mark.parametrize("ticks", range(8))
async def test_who_is_cancelled_at_the_moment_when_a_connection_is_free_is_cancelled(
    database_url: str, ticks: int
) -> None:
    database = Database(database_url, pool_size=1)
    await database.open()

    async def stay() -> None:
        async with database.autocommit():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        async with database.autocommit():
            waiting = group.create_task(stay())
            await asyncio.sleep(0.05)
        for _ in range(ticks):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=10)

        ended = waiting.done()
        waiting.cancel()

    await database.close()
    assert ended


async def test_a_cancelled_transaction_is_rolled_back_and_its_connection_is_used_again(database: Database) -> None:
    async def never_ends() -> None:
        async with database.transaction() as tx:
            await add(tx, "one")
            await tx.execute("SELECT pg_sleep(60)")

    async with asyncio.TaskGroup() as group:
        stuck = group.create_task(never_ends())
        await asyncio.sleep(0.1)
        stuck.cancel()

    async with database.transaction() as other:
        assert await count(other) == 0


async def test_every_statement_of_autocommit_stands_alone(database: Database) -> None:
    async with database.autocommit() as tx:
        await add(tx, "one")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await add(tx, "one")

    async with database.transaction() as other:
        assert await count(other) == 1


async def test_connections_that_the_server_closed_are_replaced_before_anybody_gets_them(
    database: Database,
) -> None:
    async def use() -> None:
        async with database.transaction() as tx:
            await tx.execute("SELECT pg_sleep(0.05)")

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(use())
    async with await database.connect() as killer, asyncio.timeout(30):
        while (await killer.execute(KILL_OTHERS)).rowcount:  # noqa: ASYNC110 - an end has no event
            await asyncio.sleep(0.02)

    for number in range(9):
        async with database.transaction() as tx:
            await add(tx, str(number))

    async with database.transaction() as tx:
        assert await count(tx) == 9


async def test_settings_reloaded_by_the_server_do_not_look_like_a_hang_up(database: Database) -> None:
    """A reload sends every idle connection a message that nobody asked for."""
    async with database.autocommit() as tx:
        before = tx.info.backend_pid
    async with await database.connect() as operator:
        await operator.execute("ALTER SYSTEM SET timezone = 'Asia/Tokyo'")
        await operator.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.1)
        await operator.execute("ALTER SYSTEM RESET timezone")
        await operator.execute("SELECT pg_reload_conf()")

    async with database.autocommit() as tx:
        after = tx.info.backend_pid

    assert after == before


async def test_the_pool_works_again_after_the_server_restarted(site: Site) -> None:
    async with embedded(site.folder) as url, opened(url) as database:
        async with database.transaction() as tx:
            await tx.execute("CREATE TABLE accounts (id uuid, name text)")
        await site.crash()
        restarted = await EmbeddedPostgres.start(site.folder)

        async with database.transaction() as tx:
            await add(tx, "after")
            found = await count(tx)
        await restarted.leave()

    assert found == 1


async def test_while_the_server_is_away_who_asks_waits_and_is_served_when_it_is_back(site: Site) -> None:
    async with embedded(site.folder) as url, opened(url) as database:
        await site.crash()

        async def ask() -> int:
            async with database.transaction() as tx:
                row = await (await tx.execute("SELECT 7")).fetchone()
            return 0 if row is None else int(row[0])

        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask())
            await asyncio.sleep(1.5)
            restarted = await EmbeddedPostgres.start(site.folder)
        await restarted.leave()

    assert asked.result() == 7


async def test_who_waits_longer_than_the_pool_tries_is_served_when_the_server_is_back(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("RECONNECT_SECONDS", 0.3), ("WAIT_SECONDS", 10.0)):
        monkeypatch.setattr(f"atelier.kit.database.{name}", seconds)
    async with before_database(database_url, tmp_path) as (way, url), opened(url) as database:

        async def ask() -> int:
            async with database.transaction() as tx:
                return await count(tx)

        there, way.target = way.target, "/nowhere"
        way.cut()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask())
            await asyncio.sleep(3.0)
            way.target = there

    assert asked.result() == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://nobody@127.0.0.1:1/x", "does not answer at 127.0.0.1:1/x"),
        ("postgresql://host/x?colour=red", "cannot be read"),
        ("mysql://x", "cannot be read"),
    ],
)
async def test_a_server_that_is_not_there_is_one_sentence_without_the_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.kit.database.START_SECONDS", 0.5)

    with pytest.raises(SetupFailed, match=reason):
        await Database(url).open()


async def test_a_database_that_does_not_exist_is_refused_at_once_with_the_servers_words(postgres_url: str) -> None:
    database = Database(postgres_url.replace("/atelier?", "/missing?"))

    with pytest.raises(SetupFailed, match='database "missing" does not exist'):
        await database.open()


async def test_a_pool_that_is_used_up_says_so_instead_of_waiting_forever(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.kit.database.WAIT_SECONDS", 0.2)
    database = Database(database_url, pool_size=1)
    await database.open()
    try:
        async with database.transaction():
            with pytest.raises(PoolTimeout):
                async with database.transaction():
                    pass
    finally:
        await database.close()
