"""Nothing is removed that somebody names, reads, was promised or is just storing: mark, wait a day, look, remove.

A blob's row goes first, together with a note of its key; the bytes go after the commit, and the note last. The key
is never used again, so a late removal cannot meet bytes that were stored anew.
"""

import contextlib
import datetime as dt
from pathlib import Path

from atelier.assets.model import Collected
from atelier.assets.store import removals
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.storage.model import Storage
from atelier.storage.threads import in_thread

WAIT = dt.timedelta(hours=24)
BATCH = 200


async def collect(database: Database, storage: Storage, *, wait: dt.timedelta = WAIT) -> Collected:
    """One round: expire records, drop blobs that nothing named for `wait`, remove their bytes, sweep leftovers.

    Any number of processes may do it at once, and be killed at any point. Times are the database's.
    """
    expired = await _expire(database)
    dropped = await _drop(database, wait)
    removed = await _remove(database, storage)
    swept = await in_thread(_sweep, storage.spool, wait.total_seconds())
    return Collected(expired, dropped, removed, swept)


async def _expire(database: Database) -> int:
    total = 0
    while True:
        async with database.transaction() as tx:
            done = await removals.expire(tx, BATCH)
        total += done
        if done == 0:
            return total


async def _drop(database: Database, wait: dt.timedelta) -> int:
    async with database.transaction() as tx:
        await removals.forget_pins(tx)
    total = 0
    while True:
        async with database.transaction() as tx:
            looked, done = await removals.drop(tx, BATCH, wait)
        total += done
        if looked < BATCH:
            return total


async def _remove(database: Database, storage: Storage) -> int:
    total = 0
    while True:
        async with database.transaction() as tx:
            keys = await removals.removals(tx, BATCH)
        for key in keys:
            await storage.delete(key)
        async with database.transaction() as tx:
            await removals.removed(tx, keys)
        total += len(keys)
        if len(keys) < BATCH:
            return total


def _sweep(spool: Path, seconds: float) -> int:
    """Remove what killed processes left in the spool folder `seconds` ago or earlier."""
    before = clock.utcnow().timestamp() - seconds
    return sum(_sweep_one(file, before) for file in (spool.iterdir() if spool.is_dir() else ()))


def _sweep_one(file: Path, before: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if file.is_file() and file.stat().st_mtime < before:
            file.unlink()
            return True
    return False
