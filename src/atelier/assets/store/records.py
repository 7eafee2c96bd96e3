"""The SQL of assets and blobs. Every question names its account; only what removes bytes asks without one.

Whoever locks both locks the blob before its asset, so that no two transactions wait for each other.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from atelier.assets.model import Asset, Blob, Digest, Draft
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId, JobId

PIN = dt.timedelta(hours=1)
"""How long bytes stay that were announced, or that somebody was told are known."""

SELECT_ASSET = """
SELECT a.id, a.account_id, a.hash, b.generation, b.size, b.content_type, a.content_type, a.file_path, a.tags,
       a.created_at, a.expires_at, a.job_id
FROM assets a JOIN blobs b ON b.hash = a.hash
"""

ALIVE = "(a.expires_at IS NULL OR a.expires_at > now())"

# Its commit does not wait for the disk: the log is written in order, so whatever commit names the blob later makes
# this one durable too; and bytes whose announcement was lost with the server are named by nothing.
_ANNOUNCE = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO blobs AS b (hash, size, content_type, pinned_until, marked_at)
SELECT %(hash)s, %(size)s, %(content_type)s, now() + %(pin)s, now() FROM quick
ON CONFLICT (hash) DO UPDATE SET pinned_until = greatest(b.pinned_until, excluded.pinned_until),
                                 marked_at = CASE WHEN b.marked_at IS NOT NULL THEN now() END
RETURNING generation, content_type, xmax = 0
"""

_SAME = """
UPDATE assets SET expires_at = CASE WHEN expires_at IS NOT NULL AND %(expires_at)s::timestamptz IS NOT NULL
                                    THEN greatest(expires_at, %(expires_at)s::timestamptz) END
WHERE id = (
    SELECT id FROM assets a
    WHERE account_id = %(account)s AND hash = %(hash)s AND file_path = %(file_path)s AND job_id IS NULL
      AND content_type = %(content_type)s AND tags = %(tags)s::text[]
      AND (expires_at IS NULL OR expires_at > now())
    ORDER BY created_at LIMIT 1)
RETURNING id
"""

_INSERT = """
INSERT INTO assets (id, account_id, hash, content_type, file_path, tags, expires_at, job_id)
VALUES (%(id)s, %(account)s, %(hash)s, %(content_type)s, %(file_path)s, %(tags)s, %(expires_at)s, %(job)s)
ON CONFLICT (id) DO NOTHING
"""

_KNOWN = """
INSERT INTO blob_pins AS p (account_id, hash, until)
SELECT %(account)s, %(hash)s, now() + %(pin)s
WHERE EXISTS (SELECT 1 FROM assets a WHERE a.account_id = %(account)s AND a.hash = %(hash)s
                                       AND (a.expires_at IS NULL OR a.expires_at > now()))
   OR EXISTS (SELECT 1 FROM blob_pins WHERE account_id = %(account)s AND hash = %(hash)s AND until > now())
ON CONFLICT (account_id, hash) DO UPDATE SET until = greatest(p.until, excluded.until)
RETURNING 1
"""

_PERMITTED = """
SELECT b.hash, b.generation, b.size, b.content_type FROM blobs b
WHERE b.hash = %(hash)s AND (
    EXISTS (SELECT 1 FROM assets a WHERE a.account_id = %(account)s AND a.hash = b.hash
                                     AND (a.expires_at IS NULL OR a.expires_at > now()))
    OR EXISTS (SELECT 1 FROM blob_pins p WHERE p.account_id = %(account)s AND p.hash = b.hash AND p.until > now()))
FOR NO KEY UPDATE OF b
"""


_LOCK_BLOB = """
SELECT 1 FROM blobs WHERE hash = (SELECT hash FROM assets WHERE id = %s AND (account_id = %s) IS TRUE)
FOR NO KEY UPDATE
"""

_LOCK_ASSET = """
SELECT 1 FROM assets WHERE id = %s AND (account_id = %s) IS TRUE AND (expires_at IS NULL OR expires_at > now())
FOR UPDATE
"""


async def announce(tx: Tx, digest: Digest, size: int, content_type: str) -> tuple[Blob, bool]:
    """Say that these bytes are coming: their row stands before they do. True when nobody had said so before."""
    rows = await tx.execute(_ANNOUNCE, {"hash": digest, "size": size, "content_type": content_type, "pin": PIN})
    row = await rows.fetchone()
    if row is None:
        raise LookupError("an upsert gives a row")
    return Blob(digest, row[0], size, row[1]), bool(row[2])


async def claim(tx: Tx, blob: Blob) -> bool:
    """Lock the blob and take its mark away, as an asset is about to name it. False when it was collected."""
    rows = await tx.execute(
        "UPDATE blobs SET marked_at = NULL WHERE hash = %s AND generation = %s", (blob.hash, blob.generation)
    )
    return rows.rowcount == 1


async def same(tx: Tx, draft: Draft, digest: Digest) -> AssetId | None:
    """The account's record of the same upload, now kept at least as long as the draft would be."""
    rows = await tx.execute(_SAME, {**_draft(draft), "hash": digest})
    row = await rows.fetchone()
    return AssetId(row[0]) if row else None


async def insert(tx: Tx, draft: Draft, digest: Digest) -> bool:
    """False, and nothing written, when the id is taken."""
    rows = await tx.execute(_INSERT, {**_draft(draft), "hash": digest})
    return rows.rowcount == 1


async def asset(tx: Tx, account_id: AccountId, asset_id: AssetId) -> Asset | None:
    rows = await tx.execute(
        SELECT_ASSET + f"WHERE a.id = %s AND (a.account_id = %s) IS TRUE AND {ALIVE}", (asset_id, account_id)
    )
    row = await rows.fetchone()
    return as_asset(row) if row else None


async def linked(tx: Tx, asset_id: AssetId) -> Asset | None:
    """Without its account: only for who holds a signed link to it."""
    rows = await tx.execute(SELECT_ASSET + f"WHERE a.id = %s AND {ALIVE}", (asset_id,))
    row = await rows.fetchone()
    return as_asset(row) if row else None


async def named(tx: Tx, account_id: AccountId, ids: Collection[AssetId]) -> dict[AssetId, Asset]:
    """Those of `ids` that the account has, locked against deletion until the transaction ends."""
    rows = await tx.execute(
        SELECT_ASSET
        + f"WHERE a.id = ANY(%s) AND (a.account_id = %s) IS TRUE AND {ALIVE} ORDER BY a.id FOR KEY SHARE OF a",
        (sorted(ids), account_id),
    )
    return _by_id([as_asset(row) for row in await rows.fetchall()])


async def inputs(tx: Tx, job_id: JobId) -> dict[AssetId, Asset]:
    """What a job reads, also where it has expired since the submit."""
    rows = await tx.execute(SELECT_ASSET + "JOIN job_inputs i ON i.asset_id = a.id WHERE i.job_id = %s", (job_id,))
    return _by_id([as_asset(row) for row in await rows.fetchall()])


async def known(tx: Tx, account_id: AccountId, digest: Digest) -> bool:
    """Whether the account may use these bytes by their hash; a yes holds for an hour."""
    rows = await tx.execute(_KNOWN, {"account": account_id, "hash": digest, "pin": PIN})
    return await rows.fetchone() is not None


async def permitted(tx: Tx, account_id: AccountId, digest: Digest) -> Blob | None:
    """The blob, locked, if the account has an asset of it or was told within the hour that it is known."""
    rows = await tx.execute(_PERMITTED, {"account": account_id, "hash": digest})
    row = await rows.fetchone()
    return Blob(Digest(row[0]), row[1], row[2], row[3]) if row else None


async def lock(tx: Tx, account_id: AccountId, asset_id: AssetId) -> bool:
    """Keep submits from naming the asset until the transaction ends. False when there is none."""
    await tx.execute(_LOCK_BLOB, (asset_id, account_id))
    rows = await tx.execute(_LOCK_ASSET, (asset_id, account_id))
    return await rows.fetchone() is not None


async def delete_unused(tx: Tx, ids: Collection[AssetId]) -> int:
    """Delete records that no live job reads and mark their blobs. Lock them first, in a statement before this."""
    rows = await tx.execute(
        """WITH gone AS (
               DELETE FROM assets a WHERE a.id = ANY(%s) AND NOT EXISTS (
                   SELECT 1 FROM job_inputs i JOIN jobs j ON j.id = i.job_id
                   WHERE i.asset_id = a.id AND j.finished_at IS NULL)
               RETURNING a.hash
           ), marked AS (
               UPDATE blobs SET marked_at = coalesce(marked_at, now()) WHERE hash IN (SELECT hash FROM gone)
           )
           SELECT count(*) FROM gone""",
        (list(ids),),
    )
    row = await rows.fetchone()
    return int(row[0]) if row else 0


def _draft(draft: Draft) -> Mapping[str, object]:
    return {
        "id": draft.id,
        "account": draft.account_id,
        "content_type": draft.content_type,
        "file_path": draft.file_path,
        "tags": list(draft.tags),
        "expires_at": draft.expires_at,
        "job": draft.job_id,
    }


def _by_id(assets: list[Asset]) -> dict[AssetId, Asset]:
    return {asset.id: asset for asset in assets}


def as_asset(row: tuple[Any, ...]) -> Asset:
    generation: uuid.UUID = row[3]
    return Asset(
        id=AssetId(row[0]),
        account_id=AccountId(row[1]),
        blob=Blob(Digest(row[2]), generation, row[4], row[5]),
        content_type=row[6],
        file_path=row[7],
        tags=tuple(row[8]),
        created_at=row[9],
        expires_at=row[10],
        job_id=JobId(row[11]) if row[11] else None,
    )
