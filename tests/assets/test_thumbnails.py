"""Thumbnails in the storage: one row for each content and size, kept with what it shows, gone with it."""

import asyncio
import dataclasses
import datetime as dt

import pytest

from assets.conftest import Shelf
from atelier.assets import service
from atelier.assets.collect import collect
from atelier.assets.model import Asset, Collected
from atelier.assets.pictures.thumbnails import NoThumbnail, Thumbnails, possible
from atelier.assets.pictures.turns import SMALL, PicturesBusy
from atelier.assets.store import removals
from atelier.kit.ids import AccountId
from support.pictures import png


async def thumbnail(shelf: Shelf, asset: Asset, thumbnails: Thumbnails | None = None) -> bytes:
    return await (thumbnails or Thumbnails()).content(shelf.database, shelf.storage, asset, 64)


async def rows(shelf: Shelf) -> int:
    return len(await shelf.run("SELECT 1 FROM thumbnails"))


async def test_processes_that_make_it_at_the_same_time_share_one(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))

    made = await asyncio.gather(*(thumbnail(shelf, asset) for _ in range(6)))

    assert len(set(made)) == 1
    assert await rows(shelf) == 1
    assert await shelf.run("SELECT count(*) FROM blobs") == [(2,)]


async def test_the_same_content_of_two_accounts_has_one(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    for account in (alice, bob):
        await thumbnail(shelf, await shelf.upload(account, png((500, 400))))

    assert await rows(shelf) == 1


async def test_it_stays_for_as_long_as_what_it_shows(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))
    made = await thumbnail(shelf, asset)
    await shelf.run("UPDATE blobs SET marked_at = now()")
    await shelf.a_day_passes()

    done = await collect(shelf.database, shelf.storage)

    assert done == Collected(0, 0, 0, 0)
    assert await shelf.run("SELECT 1 FROM blobs WHERE marked_at IS NOT NULL") == []
    assert await thumbnail(shelf, asset) == made


async def test_it_goes_a_day_after_what_it_shows(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))
    await thumbnail(shelf, asset)
    await shelf.delete(asset)
    await shelf.a_day_passes()

    first = await collect(shelf.database, shelf.storage)
    left = len(shelf.files())
    await shelf.a_day_passes()
    second = await collect(shelf.database, shelf.storage)

    assert (first, left, second) == (Collected(0, 1, 1, 0), 1, Collected(0, 1, 1, 0))
    assert shelf.files() == []
    assert await rows(shelf) == 0


async def test_one_that_shows_two_contents_goes_with_the_last(shelf: Shelf, alice: AccountId) -> None:
    plain, spoken = await shelf.upload(alice, png((500, 400))), await shelf.upload(alice, png((500, 400), a="b"))
    made = [await thumbnail(shelf, one) for one in (plain, spoken)]
    await shelf.delete(plain)
    for _ in range(3):
        await shelf.a_day_passes()
        await collect(shelf.database, shelf.storage)

    assert made[0] == made[1]
    assert await rows(shelf) == 1
    assert await thumbnail(shelf, spoken) == made[0]


async def test_one_that_somebody_uploads_is_that_accounts_too(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))
    small = await shelf.upload(alice, await thumbnail(shelf, asset), "small.webp")
    await shelf.delete(asset)
    for _ in range(3):
        await shelf.a_day_passes()
        await collect(shelf.database, shelf.storage)

    assert (await shelf.read(small))[:4] == b"RIFF"


async def test_removal_leaves_what_is_being_named_at_this_moment(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))
    await thumbnail(shelf, asset)
    await shelf.delete(asset)
    await shelf.a_day_passes()

    async with shelf.database.transaction() as other:
        await other.execute("SELECT 1 FROM blobs b JOIN thumbnails t ON t.thumb_hash = b.hash FOR UPDATE OF b")
        async with shelf.database.transaction() as tx:
            blocked = await removals.drop(tx, 10, dt.timedelta(hours=24))
    async with shelf.database.transaction() as tx:
        free = await removals.drop(tx, 10, dt.timedelta(hours=24))

    assert (blocked, free) == ((1, 0), (1, 1))


async def test_bytes_that_the_storage_lost_are_made_anew(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))
    made = await thumbnail(shelf, asset)
    small = await Thumbnails().of(shelf.database, shelf.storage, asset, 64)
    await shelf.storage.delete(small.blob.key)

    assert await thumbnail(shelf, asset) == made


async def test_of_a_file_that_went_meanwhile_nothing_is_kept(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((500, 400)))
    await shelf.delete(asset)
    await shelf.run("DELETE FROM blobs")

    with pytest.raises(service.AssetNotFound):
        await thumbnail(shelf, asset)

    assert await rows(shelf) == 0


async def test_who_waits_too_long_for_a_turn_is_told_so(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png((2100, 2100)))
    thumbnails = Thumbnails(patience=0.01)

    async with thumbnails._turns.turn(SMALL + 1):
        with pytest.raises(PicturesBusy):
            await thumbnail(shelf, asset, thumbnails)

    assert (await thumbnail(shelf, asset, thumbnails))[:4] == b"RIFF"


async def test_a_file_too_large_to_be_read_has_none(shelf: Shelf, alice: AccountId) -> None:
    asset = await shelf.upload(alice, png())
    large = dataclasses.replace(asset, blob=dataclasses.replace(asset.blob, size=10**10))

    with pytest.raises(NoThumbnail):
        await thumbnail(shelf, large)


def test_only_pictures_and_videos_may_have_one() -> None:
    assert [possible(kind) for kind in ("image/png", "image/tiff", "video/mp4", "video/webm")] == [True] * 4
    assert not any(possible(kind) for kind in ("image/svg+xml", "audio/flac", "text/plain", "video/x-msvideo", ""))
