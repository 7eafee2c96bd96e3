"""Sockets stay open while PostgreSQL is away, and what ended meanwhile is told when it is back."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from atelier.kit.database import Database
from atelier.kit.migrations import migrate
from atelier.kit.postgres import EmbeddedPostgres
from support.fleet import ground_on, sampled
from support.native_site import native_site
from support.postgres import SCHEMA, opened
from support.postgres_users import Site as Server
from support.sockets import connected


@pytest.fixture
async def own_database(site: Server) -> AsyncGenerator[Database]:
    """On a server that the test may kill."""
    server = await EmbeddedPostgres.start(site.folder)
    async with opened(server.url) as database:
        await migrate(database, SCHEMA)
        yield database
    await server.leave()


async def test_an_end_during_an_outage_is_told_after_it(
    own_database: Database, site: Server, tmp_path: Path
) -> None:
    async with (
        ground_on(own_database, tmp_path) as ground,
        native_site(ground) as native,
        connected(native.near, native.tenant.headers, "me") as near,
        connected(native.far, native.tenant.headers, "me") as far,
    ):
        prompt_id = await native.post(sampled(steps=20))
        await near.until("progress", prompt_id=prompt_id)
        await site.crash()
        await asyncio.sleep(2.0)
        again = await EmbeddedPostgres.start(site.folder)

        for socket in (near, far):
            types = await socket.finished(prompt_id)
            assert types.count("execution_start") == types.count("execution_success") == 1
            assert types[-2:] == ["execution_success", "executing"]
    await again.leave()
