import pytest

from assets.conftest import Shelf
from atelier.assets import service
from atelier.assets.collect import collect
from atelier.assets.model import Asset, Draft, Received
from atelier.assets.recording import recorded
from atelier.kit.ids import AccountId


async def record(shelf: Shelf, received: Received, account: AccountId) -> Asset:
    draft = Draft(account, file_path="x.png")
    made = await recorded(
        shelf.database, shelf.storage, received, lambda tx, came: service.record(tx, came, draft)
    )
    return made.asset


async def forget_announcements(shelf: Shelf) -> None:
    """What a crash of PostgreSQL does to a commit that did not wait for the disk."""
    await shelf.run("DELETE FROM blobs")


async def test_bytes_whose_announcement_was_forgotten_are_recorded_all_the_same(
    shelf: Shelf, alice: AccountId
) -> None:
    received = await shelf.receive(b"picture")
    await forget_announcements(shelf)

    asset = await record(shelf, received, alice)
    await collect(shelf.database, shelf.storage)

    assert await shelf.read(asset) == b"picture"
    assert len(shelf.files()) == 1


async def test_bytes_that_somebody_else_brought_meanwhile_are_shared(
    shelf: Shelf, alice: AccountId, bob: AccountId
) -> None:
    received = await shelf.receive(b"picture")
    await forget_announcements(shelf)
    other = await shelf.upload(bob, b"picture")

    asset = await record(shelf, received, alice)

    assert asset.blob == other.blob
    assert await shelf.read(asset) == b"picture"


async def test_bytes_that_are_gone_are_asked_for_again(shelf: Shelf, alice: AccountId) -> None:
    received = await shelf.receive(b"picture")
    await shelf.a_day_passes()
    await collect(shelf.database, shelf.storage)

    with pytest.raises(service.BlobNotFound):
        await record(shelf, received, alice)
