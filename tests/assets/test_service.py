import asyncio
import contextlib
import datetime as dt
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from assets.conftest import Shelf
from atelier.assets import service
from atelier.assets.model import Asset, Draft
from atelier.kit import clock
from atelier.kit.errors import Kind
from atelier.kit.http.ranges import Slice
from atelier.kit.ids import AccountId, AssetId, new_uuid
from atelier.storage import ContentMissing, Credentials, open_storage

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
HOUR = dt.timedelta(hours=1)


async def test_a_record_says_what_was_uploaded(shelf: Shelf, alice: AccountId) -> None:
    received = await shelf.receive(PNG)
    until = clock.utcnow() + HOUR
    async with shelf.database.transaction() as tx:
        made = await service.record(
            tx, received, Draft(alice, "image/x-mine", "input/a/b.png", ("red", "blue"), expires_at=until)
        )

    async with shelf.database.transaction() as tx:
        asset = await service.get(tx, alice, made.asset.id)

    assert made.created_new
    assert asset == made.asset
    assert (asset.account_id, asset.blob, asset.expires_at) == (alice, received.blob, until)
    assert (asset.content_type, asset.file_path, asset.tags) == ("image/x-mine", "input/a/b.png", ("red", "blue"))


async def test_without_a_declared_type_the_bytes_say_it(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)

    assert asset.content_type == "image/png"


async def test_the_same_upload_again_is_the_same_record(shelf: Shelf, alice: AccountId) -> None:
    first = await shelf.upload(alice, PNG)
    received = await shelf.receive(PNG)

    async with shelf.database.transaction() as tx:
        again = await service.record(tx, received, Draft(alice, file_path="x.png"))

    assert (again.asset, again.created_new) == (first, False)


async def test_another_path_type_tag_or_account_is_another_record(
    shelf: Shelf, alice: AccountId, bob: AccountId
) -> None:
    first = await shelf.upload(alice, PNG)
    received = await shelf.receive(PNG)
    drafts = [
        Draft(alice, file_path="y.png"),
        Draft(alice, "image/x-other", "x.png"),
        Draft(alice, file_path="x.png", tags=("t",)),
        Draft(bob, file_path="x.png"),
    ]

    async with shelf.database.transaction() as tx:
        made = [await service.record(tx, received, draft) for draft in drafts]

    assert all(recorded.created_new for recorded in made)
    assert len({first.id, *(recorded.asset.id for recorded in made)}) == 5


async def test_the_same_upload_keeps_the_record_as_long_as_the_longer_one_asks(
    shelf: Shelf, alice: AccountId
) -> None:
    received = await shelf.receive(PNG)
    now = clock.utcnow()
    async with shelf.database.transaction() as tx:
        await service.record(tx, received, Draft(alice, expires_at=now + 2 * HOUR))
        shorter = await service.record(tx, received, Draft(alice, expires_at=now + HOUR))
        longer = await service.record(tx, received, Draft(alice, expires_at=now + 3 * HOUR))
        forever = await service.record(tx, received, Draft(alice))
        still = await service.record(tx, received, Draft(alice, expires_at=now + HOUR))

    kept = [recorded.asset.expires_at for recorded in (shorter, longer, forever, still)]
    assert kept == [now + 2 * HOUR, now + 3 * HOUR, None, None]


async def test_uploads_at_once_of_the_same_thing_are_one_record(shelf: Shelf, alice: AccountId) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(shelf.upload(alice, PNG)) for _ in range(8)]

    assert len({task.result().id for task in tasks}) == 1


async def test_deletes_and_repeated_uploads_at_once_never_block_each_other(shelf: Shelf, alice: AccountId) -> None:
    async def again_and_again() -> None:
        for _ in range(30):
            asset = await shelf.upload(alice, PNG)
            with contextlib.suppress(service.AssetNotFound):
                await shelf.delete(asset)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(again_and_again())

    assert await shelf.run("SELECT 1 FROM assets") == []


async def test_a_record_with_its_own_id_is_made_once(shelf: Shelf, alice: AccountId) -> None:
    received = await shelf.receive(PNG)
    draft = Draft(alice, id=AssetId(new_uuid()))
    async with shelf.database.transaction() as tx:
        first = await service.record(tx, received, draft)
        second = await service.record(tx, received, draft)

    assert (first.created_new, second.created_new) == (True, False)
    assert first.asset == second.asset
    assert first.asset.id == draft.id


async def test_a_foreign_asset_is_not_there(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)

    async with shelf.database.transaction() as tx:
        with pytest.raises(service.AssetNotFound):
            await service.get(tx, bob, asset.id)
        with pytest.raises(service.AssetNotFound):
            await service.delete(tx, bob, asset.id)
        with pytest.raises(service.MissingAssets):
            await service.named(tx, bob, [asset.id])


async def test_a_verified_link_opens_it_without_the_account(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)

    async with shelf.database.transaction() as tx:
        assert await service.linked(tx, asset.id) == asset


async def test_an_expired_asset_is_not_there(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)
    await shelf.run("UPDATE assets SET expires_at = now() - interval '1 second'")

    async with shelf.database.transaction() as tx:
        with pytest.raises(service.AssetNotFound):
            await service.get(tx, alice, asset.id)
        with pytest.raises(service.AssetNotFound):
            await service.linked(tx, asset.id)
        assert not await service.known(tx, alice, asset.hash)
        with pytest.raises(service.BlobNotFound):
            await service.from_hash(tx, asset.hash, Draft(alice))


async def test_a_hash_is_not_a_permission(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)

    async with shelf.database.transaction() as tx:
        assert await service.known(tx, alice, asset.hash)
        assert not await service.known(tx, bob, asset.hash)
        with pytest.raises(service.BlobNotFound) as refused:
            await service.from_hash(tx, asset.hash, Draft(bob))

    assert (refused.value.kind, refused.value.code) == (Kind.NOT_FOUND, "blob_not_found")


async def test_known_bytes_become_a_record_by_their_hash(shelf: Shelf, alice: AccountId) -> None:
    first = await shelf.upload(alice, PNG)

    async with shelf.database.transaction() as tx:
        same = await service.from_hash(tx, first.hash, Draft(alice, file_path="x.png"))
        other = await service.from_hash(tx, first.hash, Draft(alice, file_path="other.png"))

    assert (same.asset, same.created_new) == (first, False)
    assert other.created_new
    assert await shelf.read(other.asset) == PNG


async def test_what_a_job_produced_is_known_by_its_hash(shelf: Shelf, alice: AccountId) -> None:
    received = await shelf.receive(PNG)
    job_id = await shelf.job_that_reads()
    async with shelf.database.transaction() as tx:
        await service.record(tx, received, Draft(alice, job_id=job_id))

    async with shelf.database.transaction() as tx:
        assert await service.known(tx, alice, received.hash)


async def test_known_keeps_its_word_when_the_record_is_deleted_right_after(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)
    async with shelf.database.transaction() as tx:
        assert await service.known(tx, alice, asset.hash)
    await shelf.delete(asset)

    async with shelf.database.transaction() as tx:
        assert await service.known(tx, alice, asset.hash)
        again = await service.from_hash(tx, asset.hash, Draft(alice))

    assert again.created_new
    assert await shelf.read(again.asset) == PNG


async def test_deleting_takes_the_record_once(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    mine, other = await shelf.upload(alice, PNG), await shelf.upload(bob, PNG)

    await shelf.delete(mine)

    with pytest.raises(service.AssetNotFound):
        await shelf.delete(mine)
    assert await shelf.read(other) == PNG


async def test_what_a_live_job_reads_is_not_deleted(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)
    job_id = await shelf.job_that_reads(asset.id)

    with pytest.raises(service.AssetInUse) as refused:
        await shelf.delete(asset)
    await shelf.finish(job_id)
    await shelf.delete(asset)

    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "asset_in_use")


async def test_a_submit_and_a_delete_at_once_never_leave_a_job_without_its_input(
    shelf: Shelf, alice: AccountId
) -> None:
    asset = await shelf.upload(alice, PNG)
    async with shelf.database.transaction() as submit:
        await service.named(submit, alice, [asset.id])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await impatient_delete(shelf, asset)

    await shelf.delete(asset)


async def impatient_delete(shelf: Shelf, asset: Asset) -> None:
    async with shelf.database.transaction() as tx:
        await tx.execute("SET LOCAL lock_timeout = '50ms'")
        await service.delete(tx, asset.account_id, asset.id)


async def test_missing_assets_are_named(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)
    unknown = AssetId(new_uuid())

    async with shelf.database.transaction() as tx:
        assert await service.named(tx, alice, [asset.id]) == {asset.id: asset}
        assert await service.named(tx, alice, []) == {}
        with pytest.raises(service.MissingAssets) as refused:
            await service.named(tx, alice, [asset.id, unknown])

    assert refused.value.details == {"missing_ids": [str(unknown)]}


async def test_a_job_still_gets_its_inputs_when_they_expired_since(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)
    job_id = await shelf.job_that_reads(asset.id)
    await shelf.run("UPDATE assets SET expires_at = now() - interval '1 second'")

    async with shelf.database.transaction() as tx:
        inputs = await service.inputs(tx, job_id)

    assert await shelf.read(inputs[asset.id]) == PNG


async def test_a_part_of_an_asset_is_streamed(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)

    body = await service.stream(shelf.storage, asset, Slice(1, 4))

    assert [chunk async for chunk in body.chunks] == [b"PNG"]


async def test_a_file_that_the_disk_lost_is_missing_not_empty(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, PNG)
    shelf.files()[0].write_bytes(b"")

    with pytest.raises(ContentMissing):
        await service.stream(shelf.storage, asset)


async def test_the_storage_serves_only_what_has_the_type_it_was_stored_with(
    shelf: Shelf, alice: AccountId, tmp_path: Path
) -> None:
    asset = await shelf.upload(alice, PNG)
    bucket = open_storage("s3://b", Credentials("http://127.0.0.1:1", "auto", "k", "s"), spool=tmp_path)

    url = await service.address(bucket, asset, ttl=HOUR)

    assert url is not None
    assert url.startswith(f"http://127.0.0.1:1/b/{asset.blob.key}?")
    assert await service.address(bucket, replace(asset, content_type="image/webp"), ttl=HOUR) is None
    assert await service.address(shelf.storage, asset, ttl=HOUR) is None
