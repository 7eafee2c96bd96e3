"""A thumbnail is made once for each content and size, however many ask at once in however many processes.

Its bytes are a blob like any other, which its row keeps for as long as the bytes are kept that it shows.
"""

import asyncio
from collections import defaultdict

from atelier.assets import recording, service
from atelier.assets.content_types import sniff
from atelier.assets.model import Asset, Digest, Received, Thumbnail
from atelier.assets.pictures import shrinking
from atelier.assets.pictures.containers import media
from atelier.assets.pictures.fetching import fetched
from atelier.assets.pictures.reading import NotAPicture, PictureTooLarge, pixels_of
from atelier.assets.pictures.shrinking import Small
from atelier.assets.pictures.turns import PATIENCE, SMALL, Turns
from atelier.assets.spool import Spooled
from atelier.assets.store import records
from atelier.assets.store import thumbnails as rows
from atelier.kit.database import Database, Tx
from atelier.kit.errors import NotFound
from atelier.storage.model import ContentMissing, Storage
from atelier.storage.threads import in_thread

SIZES = (64, 128, 256, 512, 1024)
"""Pixels of the longer side. Few, so that everybody is given the same files."""

USUAL_SIZE = 256
AT_ONCE = 2

_Key = tuple[Digest, int]


class NoThumbnail(NotFound):
    """The file is neither a picture nor a video, or none that can be read."""

    code = "no_thumbnail"


class _NotOurs(Exception):  # noqa: N818 - it only undoes the transaction
    """Somebody else has made it, or what it shows is gone."""


def possible(content_type: str) -> bool:
    """Whether files of this type may have a thumbnail; a damaged one has none all the same."""
    plain = content_type.partition(";")[0]
    is_picture = plain.startswith("image/") and not plain.startswith("image/svg")
    return is_picture or (plain.startswith("video/") and plain in media.READERS)


class Thumbnails:
    """One per process. `patience`: how many seconds somebody waits for a turn."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._turns = Turns(patience, AT_ONCE)
        self._busy: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, database: Database, storage: Storage, asset: Asset, size: int) -> Thumbnail:
        """The thumbnail of this asset; `size` is one of SIZES.

        Raises NoThumbnail, PicturesBusy, AssetNotFound, ContentMissing, StorageUnavailable.
        """
        if not (possible(asset.content_type) or possible(asset.blob.content_type)):
            raise NoThumbnail("Only pictures and videos have a thumbnail; this file is neither.")
        return await _found(database, asset, size) or await self._once(database, storage, asset, size)

    async def content(self, database: Database, storage: Storage, asset: Asset, size: int) -> bytes:
        """Its bytes, made anew where the storage has lost them. Raises as `of`."""
        thumbnail = await self.of(database, storage, asset, size)
        try:
            return await _read(storage, thumbnail)
        except ContentMissing:
            await self._make(database, storage, asset, size)
            return await _read(storage, await self.of(database, storage, asset, size))

    async def _once(self, database: Database, storage: Storage, asset: Asset, size: int) -> Thumbnail:
        key = (asset.hash, size)
        try:
            async with self._busy[key]:
                found = await _found(database, asset, size)
                return found or await self._make(database, storage, asset, size)
        finally:
            if key in self._busy and not self._busy[key].locked():
                self._busy.pop(key)

    async def _make(self, database: Database, storage: Storage, asset: Asset, size: int) -> Thumbnail:
        try:
            async with fetched(storage, asset) as whole:
                small = await self._shrunk(whole, size)
        except (NotAPicture, PictureTooLarge) as refusal:
            raise NoThumbnail(f"There is no thumbnail: {refusal.message}", details=refusal.details) from refusal
        received = await service.receive_bytes(database, storage, small.content)
        return await _recorded(database, storage, asset, size, (small, received))

    async def _shrunk(self, whole: Spooled, size: int) -> Small:
        content_type = sniff(whole.head)
        if content_type.startswith("video/"):
            async with self._turns.turn(SMALL + 1):
                return await in_thread(shrinking.of_video, whole.content, content_type, size)
        async with self._turns.turn(await in_thread(pixels_of, whole.content)):
            return await in_thread(shrinking.of_picture, whole.content, size)


async def _recorded(
    database: Database, storage: Storage, asset: Asset, size: int, made: tuple[Small, Received]
) -> Thumbnail:
    small, received = made

    async def write(tx: Tx, came: Received) -> Thumbnail:
        thumbnail = Thumbnail(came.blob, small.width, small.height)
        if not await records.claim(tx, came.blob):
            raise service.BlobNotFound("The thumbnail's bytes were collected meanwhile.")
        if not await rows.put(tx, asset.hash, size, thumbnail):
            raise _NotOurs
        return thumbnail

    try:
        return await recording.recorded(database, storage, received, write)
    except _NotOurs:
        found = await _found(database, asset, size)
    if found is None:
        raise service.AssetNotFound(f"There is no asset {asset.id}.")
    return found


async def _found(database: Database, asset: Asset, size: int) -> Thumbnail | None:
    async with database.autocommit() as tx:
        return await rows.find(tx, asset.hash, size)


async def _read(storage: Storage, thumbnail: Thumbnail) -> bytes:
    body = await storage.get(thumbnail.blob.key)
    if body.total != thumbnail.blob.size:
        raise ContentMissing("The stored thumbnail is not what was put there.")
    return b"".join([chunk async for chunk in body.chunks])
