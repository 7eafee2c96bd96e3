import asyncio
import contextlib
import datetime as dt
import os
from dataclasses import replace

import pytest

from assets.conftest import Shelf
from atelier.assets import service
from atelier.assets.collect import collect
from atelier.assets.model import Asset, Collected, Draft
from atelier.assets.store import records, removals
from atelier.kit import clock
from atelier.kit.ids import AccountId, AssetId, new_uuid

NOTHING = Collected(0, 0, 0, 0)
AT_ONCE = dt.timedelta()


async def round_of(shelf: Shelf) -> Collected:
    return await collect(shelf.database, shelf.storage)


async def test_bytes_go_a_day_after_their_last_record(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, b"picture")
    await shelf.delete(asset)
    await shelf.run("UPDATE blobs SET pinned_until = now()")

    early = await round_of(shelf)
    await shelf.a_day_passes()
    late = await round_of(shelf)

    assert (early, late) == (NOTHING, Collected(0, 1, 1, 0))
    assert shelf.files() == []
    assert await shelf.run("SELECT 1 FROM blobs UNION ALL SELECT 1 FROM blob_removals") == []


async def test_bytes_that_were_never_recorded_go_a_day_later(shelf: Shelf) -> None:
    await shelf.receive(b"picture")
    await shelf.a_day_passes()

    assert await round_of(shelf) == Collected(0, 1, 1, 0)
    assert shelf.files() == []


async def test_named_bytes_stay_whatever_their_mark_says(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    mine, other = await shelf.upload(alice, b"picture"), await shelf.upload(bob, b"picture")
    await shelf.delete(mine)
    await shelf.a_day_passes()

    assert await round_of(shelf) == NOTHING

    assert await shelf.read(other) == b"picture"
    assert await shelf.run("SELECT 1 FROM blobs WHERE marked_at IS NOT NULL") == []


async def test_expired_records_go_and_their_bytes_a_day_later(shelf: Shelf, alice: AccountId) -> None:
    await shelf.upload(alice, b"picture")
    await shelf.run("UPDATE assets SET expires_at = now() - interval '1 second'")

    first = await round_of(shelf)
    await shelf.a_day_passes()
    second = await round_of(shelf)

    assert (first, second) == (Collected(1, 0, 0, 0), Collected(0, 1, 1, 0))


async def test_many_expire_in_batches_by_several_at_once(shelf: Shelf, alice: AccountId) -> None:
    received = await shelf.receive(b"picture")
    other = await shelf.receive(b"another")
    async with shelf.database.transaction() as tx:
        for number in range(250):
            draft = Draft(alice, file_path=f"{number}.png", expires_at=clock.utcnow() - dt.timedelta(seconds=1))
            await records.insert(tx, replace(draft, id=AssetId(new_uuid()), content_type="image/png"), other.hash)
            await records.insert(tx, replace(draft, id=AssetId(new_uuid()), content_type="x/y"), received.hash)

    async with asyncio.TaskGroup() as group:
        rounds = [group.create_task(round_of(shelf)) for _ in range(3)]

    assert sum(task.result().expired for task in rounds) == 500


async def test_what_a_live_job_reads_does_not_expire(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, b"picture")
    job_id = await shelf.job_that_reads(asset.id)
    await shelf.run("UPDATE assets SET expires_at = now() - interval '1 second'")

    during = await round_of(shelf)
    await shelf.finish(job_id)
    after = await round_of(shelf)

    assert (during.expired, after.expired) == (0, 1)


async def test_what_somebody_was_told_is_known_stays_for_an_hour(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, b"picture")
    async with shelf.database.transaction() as tx:
        assert await service.known(tx, alice, asset.hash)
    await shelf.delete(asset)
    await shelf.run("UPDATE blobs SET marked_at = marked_at - interval '2 days', pinned_until = now()")

    spared = await round_of(shelf)
    await shelf.run("UPDATE blob_pins SET until = now()")
    dropped = await round_of(shelf)

    assert (spared, dropped) == (NOTHING, Collected(0, 1, 1, 0))


async def test_what_is_being_stored_again_is_spared(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, b"picture")
    await shelf.delete(asset)
    await shelf.a_day_passes()
    received = await shelf.receive(b"picture")

    assert await collect(shelf.database, shelf.storage, wait=AT_ONCE) == NOTHING

    async with shelf.database.transaction() as tx:
        again = await service.record(tx, received, Draft(alice))
    assert await shelf.read(again.asset) == b"picture"


async def test_bytes_stored_anew_survive_the_late_removal_of_the_old_ones(shelf: Shelf, alice: AccountId) -> None:
    await shelf.receive(b"picture")
    await shelf.a_day_passes()
    async with shelf.database.transaction() as tx:
        await removals.drop(tx, 10, dt.timedelta(hours=24))
    asset = await shelf.upload(alice, b"picture")
    assert len(shelf.files()) == 2

    assert (await round_of(shelf)).removed == 1

    assert await shelf.read(asset) == b"picture"
    assert len(shelf.files()) == 1


async def test_bytes_that_were_collected_before_their_record_are_asked_for_again(
    shelf: Shelf, alice: AccountId
) -> None:
    received = await shelf.receive(b"picture")
    await shelf.a_day_passes()
    await round_of(shelf)

    async with shelf.database.transaction() as tx:
        with pytest.raises(service.BlobNotFound):
            await service.record(tx, received, Draft(alice))


async def test_a_record_in_the_making_holds_its_bytes(shelf: Shelf, alice: AccountId) -> None:
    received = await shelf.receive(b"picture")
    await shelf.a_day_passes()

    async with shelf.database.transaction() as tx:
        made = await service.record(tx, received, Draft(alice))
        assert await round_of(shelf) == NOTHING

    assert await shelf.read(made.asset) == b"picture"


async def test_many_go_in_batches_by_several_at_once(shelf: Shelf, alice: AccountId) -> None:
    kept = await shelf.upload(alice, b"kept")
    for number in range(450):
        await shelf.receive(b"%d" % number)
    await shelf.a_day_passes()

    async with asyncio.TaskGroup() as group:
        rounds = [group.create_task(round_of(shelf)) for _ in range(3)]

    assert sum(task.result().dropped for task in rounds) == 450
    assert len(shelf.files()) == 1
    assert await shelf.read(kept) == b"kept"


async def test_what_a_killed_upload_left_is_swept_after_a_day(shelf: Shelf) -> None:
    old, young = shelf.storage.spool / "old", shelf.storage.spool / "young"
    for file in (old, young):
        file.write_bytes(b"half")
    yesterday = clock.utcnow().timestamp() - 25 * 3600
    os.utime(old, (yesterday, yesterday))

    assert await round_of(shelf) == Collected(0, 0, 0, 1)

    assert shelf.files() == [young]


async def test_what_was_recorded_is_there_even_if_collectors_wait_for_nothing(
    shelf: Shelf, alice: AccountId
) -> None:
    async def upload(content: bytes, name: str) -> Asset:
        for _ in range(100):
            with contextlib.suppress(service.BlobNotFound):
                return await shelf.upload(alice, content, name)
        raise TimeoutError

    async def come_and_go(number: int) -> None:
        for turn in range(30):
            asset = await upload(b"%d" % (number % 2), f"{number}-{turn}.txt")
            assert await shelf.read(asset) == b"%d" % (number % 2)
            await shelf.delete(asset)

    async def collecting() -> None:
        for _ in range(60):
            await shelf.run("UPDATE blobs SET pinned_until = now()")
            await collect(shelf.database, shelf.storage, wait=AT_ONCE)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(come_and_go(number))
        group.create_task(collecting())
