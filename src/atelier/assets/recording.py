"""Received bytes get their record also where PostgreSQL died after they came and forgot their announcement.

An announcement does not wait for the disk (store.records), so a crash within the next half second can lose it. The
bytes are in the storage then, under a key that nothing names: they are announced anew, and the old key is removed.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from atelier.assets import service
from atelier.assets.model import Received
from atelier.assets.service import BlobNotFound
from atelier.assets.store import removals
from atelier.kit.database import Database, Tx
from atelier.storage.model import ContentMissing, Storage

T = TypeVar("T")
Write = Callable[[Tx, Received], Awaitable[T]]


async def recorded(database: Database, storage: Storage, received: Received, write: Write[T]) -> T:
    """Run `write`, which names the bytes, in a transaction of its own; once more where they had been forgotten.

    Raises BlobNotFound when they are gone from the storage too, and whatever `write` raises.
    """
    try:
        async with database.transaction() as tx:
            return await write(tx, received)
    except BlobNotFound:
        anew = await _announced_anew(database, storage, received)
    async with database.transaction() as tx:
        return await write(tx, anew)


async def _announced_anew(database: Database, storage: Storage, received: Received) -> Received:
    key = received.blob.key
    try:
        body = await storage.get(key)
        anew = await service.receive(database, storage, body.chunks, limit_bytes=received.size)
    except ContentMissing as error:
        raise BlobNotFound("The bytes were received too long ago; send them again.") from error
    async with database.transaction() as tx:
        await removals.note(tx, [key])
    return anew
