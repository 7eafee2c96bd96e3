"""Copies of pictures are made by few threads at a time, of bounded pixels, and the newest are kept in memory."""

import asyncio
from collections import OrderedDict, defaultdict
from contextlib import AbstractAsyncContextManager

from atelier.assets.model import Asset, Digest
from atelier.assets.pictures.fetching import fetched
from atelier.assets.pictures.reading import pixels_of
from atelier.assets.pictures.turns import PATIENCE, Turns
from atelier.assets.spool import Spooled
from atelier.dialects.comfyui import pixels
from atelier.dialects.comfyui.pixels import Variant
from atelier.storage.model import Storage
from atelier.storage.threads import in_thread

CACHE_BYTES = 64 * 1024 * 1024

_Key = tuple[Digest, Variant]


class Pictures:
    """One per process. `patience` is how many seconds somebody waits for a turn."""

    def __init__(self, cache_bytes: int = CACHE_BYTES, patience: float = PATIENCE) -> None:
        self._turns = Turns(patience)
        self._cache = _Cache(cache_bytes)
        self._busy: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def variant(self, storage: Storage, asset: Asset, variant: Variant) -> bytes:
        """Raises NotAPicture, PictureTooLarge, PicturesBusy, ContentMissing, StorageUnavailable."""
        key = (asset.hash, variant)
        if (kept := self._cache.get(key)) is not None:
            return kept
        try:
            async with self._busy[key]:
                made = self._cache.get(key) or await self._made(storage, asset, variant)
                self._cache.put(key, made)
        finally:
            if not self._busy[key].locked():
                self._busy.pop(key, None)
        return made

    async def _made(self, storage: Storage, asset: Asset, variant: Variant) -> bytes:
        async with fetched(storage, asset) as picture:
            count = await in_thread(pixels_of, picture.content)
            async with self.turn(count):
                return await in_thread(pixels.render, picture.content, variant)

    async def masked(self, original: Spooled, mask: Spooled) -> bytes:
        """As pixels.masked. Raises NotAPicture, PictureTooLarge, SizesDiffer, PicturesBusy."""
        counts = [await in_thread(pixels_of, one.content) for one in (original, mask)]
        async with self.turn(max(counts)):
            return await in_thread(pixels.masked, original.content, mask.content)

    def turn(self, count: int) -> AbstractAsyncContextManager[None]:
        """Held while a picture of so many pixels is in memory. Raises PicturesBusy."""
        return self._turns.turn(count)


class _Cache:
    """The newest copies, `most` bytes of them; one that alone would take a quarter of that is not kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()

    def get(self, key: _Key) -> bytes | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: _Key, made: bytes) -> None:
        if len(made) > self._most // 4:
            return
        self._size += len(made) - len(self._kept.pop(key, b""))
        self._kept[key] = made
        while self._size > self._most:
            self._size -= len(self._kept.popitem(last=False)[1])
