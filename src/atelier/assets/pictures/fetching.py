"""The bytes of an asset where a thread can read them: in memory if they are few, else in a file."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.assets.pictures.reading import MOST_ENCODED, PictureTooLarge
from atelier.assets.spool import Spooled, spooled
from atelier.storage.model import Storage


@asynccontextmanager
async def fetched(storage: Storage, asset: Asset) -> AsyncGenerator[Spooled]:
    """For as long as the block runs. Raises PictureTooLarge, ContentMissing, StorageUnavailable."""
    if asset.size > MOST_ENCODED:
        raise PictureTooLarge
    body = await assets.stream(storage, asset)
    async with spooled(storage.spool, body.chunks, MOST_ENCODED) as picture:
        yield picture
