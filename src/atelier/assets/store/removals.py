"""The SQL of removing: rows are locked in one statement and judged in the next, which sees what came meanwhile.

What another transaction has locked is left for the next round, so removing never waits and never deadlocks.
"""

import datetime as dt
from collections.abc import Sequence

from atelier.assets.model import Blob, Digest
from atelier.assets.store.records import delete_unused
from atelier.kit.database import Tx
from atelier.kit.ids import AssetId

_EXPIRED_HASHES = """
SELECT b.hash FROM blobs b WHERE b.hash IN (
    SELECT a.hash FROM assets a
    WHERE a.expires_at <= now() AND NOT EXISTS (
        SELECT 1 FROM job_inputs i JOIN jobs j ON j.id = i.job_id
        WHERE i.asset_id = a.id AND j.finished_at IS NULL)
    ORDER BY a.expires_at LIMIT %s)
FOR NO KEY UPDATE SKIP LOCKED
"""

_EXPIRED = """
SELECT id FROM assets WHERE hash = ANY(%s) AND expires_at <= now() FOR UPDATE SKIP LOCKED
"""

_DUE = """
SELECT b.hash FROM blobs b
WHERE b.marked_at <= now() - %s AND b.pinned_until <= now()
  AND NOT EXISTS (SELECT 1 FROM blob_pins p WHERE p.hash = b.hash AND p.until > now())
ORDER BY b.marked_at LIMIT %s FOR UPDATE OF b SKIP LOCKED
"""

_UNMARK = """
UPDATE blobs b SET marked_at = NULL
WHERE b.hash = ANY(%s) AND (EXISTS (SELECT 1 FROM assets a WHERE a.hash = b.hash)
                            OR EXISTS (SELECT 1 FROM thumbnails t WHERE t.thumb_hash = b.hash))
"""

# What shows a blob goes when it goes: its row with it (ON DELETE CASCADE), its bytes a day later.
_SHOWN = "SELECT hash, thumb_hash FROM thumbnails WHERE hash = ANY(%s)"
_LOCK_SHOWN = "SELECT hash FROM blobs WHERE hash = ANY(%s) FOR NO KEY UPDATE SKIP LOCKED"
_MARK = "UPDATE blobs SET marked_at = coalesce(marked_at, now()) WHERE hash = ANY(%s)"

_DROP = """
DELETE FROM blobs b
WHERE b.hash = ANY(%s) AND NOT EXISTS (SELECT 1 FROM assets a WHERE a.hash = b.hash)
  AND NOT EXISTS (SELECT 1 FROM thumbnails t WHERE t.thumb_hash = b.hash)
  AND NOT EXISTS (SELECT 1 FROM blob_pins p WHERE p.hash = b.hash AND p.until > now())
RETURNING b.hash, b.generation, b.size, b.content_type
"""


async def expire(tx: Tx, most: int) -> int:
    """Delete records that have expired and that no live job reads, of at most `most` blobs: how many went."""
    hashes = [row[0] for row in await (await tx.execute(_EXPIRED_HASHES, (most,))).fetchall()]
    ids = [AssetId(row[0]) for row in await (await tx.execute(_EXPIRED, (hashes,))).fetchall()]
    return await delete_unused(tx, ids)


async def drop(tx: Tx, most: int, wait: dt.timedelta) -> tuple[int, int]:
    """Drop blobs marked `wait` ago that nothing names, and note their keys; unmark those that are named again.

    Gives how many were looked at and how many went.
    """
    due = [bytes(row[0]) for row in await (await tx.execute(_DUE, (wait, most))).fetchall()]
    shown = await _shown(tx, due)
    free = [digest for digest in due if digest not in shown or shown[digest] is not None]
    await tx.execute(_UNMARK, (due,))
    gone = await (await tx.execute(_DROP, (free,))).fetchall()
    blobs = [Blob(Digest(bytes(row[0])), row[1], row[2], row[3]) for row in gone]
    await tx.execute(_MARK, ([small for blob in blobs for small in shown.get(blob.hash) or ()],))
    await note(tx, [blob.key for blob in blobs])
    return len(due), len(blobs)


async def _shown(tx: Tx, due: Sequence[bytes]) -> dict[bytes, list[bytes] | None]:
    """The thumbnails of these blobs, locked; None where somebody else has locked one of them."""
    pairs = [(bytes(row[0]), bytes(row[1])) for row in await (await tx.execute(_SHOWN, (due,))).fetchall()]
    rows = await tx.execute(_LOCK_SHOWN, ([small for _, small in pairs],))
    locked = {bytes(row[0]) for row in await rows.fetchall()}
    found: dict[bytes, list[bytes] | None] = {}
    for whole, small in pairs:
        others = found.setdefault(whole, [])
        found[whole] = [*others, small] if others is not None and small in locked else None
    return found


async def note(tx: Tx, keys: Sequence[str]) -> None:
    """Keys whose bytes are to be removed; no blob has them, and none will."""
    await tx.execute(
        "INSERT INTO blob_removals (key) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (list(keys),)
    )


async def forget_pins(tx: Tx) -> None:
    await tx.execute(
        """DELETE FROM blob_pins WHERE (account_id, hash) IN (
               SELECT account_id, hash FROM blob_pins WHERE until <= now() FOR UPDATE SKIP LOCKED)"""
    )


async def removals(tx: Tx, most: int) -> list[str]:
    """Keys whose bytes are still to be removed."""
    return [
        row[0] for row in await (await tx.execute("SELECT key FROM blob_removals LIMIT %s", (most,))).fetchall()
    ]


async def removed(tx: Tx, keys: Sequence[str]) -> None:
    await tx.execute(
        """DELETE FROM blob_removals WHERE key IN (
               SELECT key FROM blob_removals WHERE key = ANY(%s) FOR UPDATE SKIP LOCKED)""",
        (list(keys),),
    )
