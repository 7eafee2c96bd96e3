"""A folder to store in, two accounts, and short ways to say what most tests do first."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from atelier.assets import service
from atelier.assets.model import Asset, Draft, Received
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, AssetId, JobId, new_uuid
from atelier.storage import Storage, open_storage

LIMIT = 100 * 1024 * 1024


@dataclass(frozen=True)
class Shelf:
    """The part of Atelier that these tests are about."""

    database: Database
    storage: Storage

    async def receive(self, *chunks: bytes) -> Received:
        return await service.receive(self.database, self.storage, pieces(*chunks), limit_bytes=LIMIT)

    async def upload(self, account: AccountId, content: bytes, file_path: str = "x.png") -> Asset:
        received = await self.receive(content)
        async with self.database.transaction() as tx:
            return (await service.record(tx, received, Draft(account, file_path=file_path))).asset

    async def read(self, asset: Asset) -> bytes:
        return b"".join([chunk async for chunk in (await service.stream(self.storage, asset)).chunks])

    async def delete(self, asset: Asset) -> None:
        async with self.database.transaction() as tx:
            await service.delete(tx, asset.account_id, asset.id)

    async def run(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        async with self.database.transaction() as tx:
            rows = await tx.execute(statement.encode(), arguments)
            return await rows.fetchall() if rows.description else []

    async def job_that_reads(self, *ids: AssetId) -> JobId:
        """A queued job of nobody in particular."""
        job_id = JobId(new_uuid())
        await self.run(
            """INSERT INTO jobs (id, account_id, dialect, graph_digest, requirement_id, shape, wait_until,
                                 keep_until)
               VALUES (%s, gen_random_uuid(), 'test', '', 0, '', now(), now())""",
            job_id,
        )
        for asset_id in ids:
            await self.run("INSERT INTO job_inputs (job_id, asset_id) VALUES (%s, %s)", job_id, asset_id)
        return job_id

    async def finish(self, job_id: JobId) -> None:
        await self.run("UPDATE jobs SET state = 'canceled', finished_at = now() WHERE id = %s", job_id)

    async def a_day_passes(self) -> None:
        await self.run(
            """UPDATE blobs SET marked_at = marked_at - interval '25 hours',
                                pinned_until = pinned_until - interval '25 hours'"""
        )
        await self.run("UPDATE blob_pins SET until = until - interval '25 hours'")

    def files(self) -> list[Path]:
        """Every file below the storage folder, finished or not."""
        return [path for path in self.storage.spool.parent.rglob("*") if path.is_file()]


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Shelf:
    return Shelf(database, open_storage(str(tmp_path / "files")))


@pytest.fixture
def alice() -> AccountId:
    return AccountId(new_uuid())


@pytest.fixture
def bob() -> AccountId:
    return AccountId(new_uuid())
