"""What the rest of Atelier may ask of files; a hash opens nothing that its asker did not upload or produce.

Bytes are stored first, outside any transaction, and recorded afterwards in the asker's own.
"""

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from atelier.assets.content_types import sniff
from atelier.assets.model import Asset, Digest, Draft, Received, Recorded
from atelier.assets.rules import spell_hash
from atelier.assets.spool import Spooled, TooLarge, hashed, spooled
from atelier.assets.store import records
from atelier.kit.database import Database, Tx
from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.http.ranges import Slice
from atelier.kit.ids import AccountId, AssetId, JobId, new_uuid
from atelier.storage.model import Body, ContentMissing, Storage

MOST_NAMED = 10


class HashMismatch(Refusal):
    """The bytes that came are not those that were promised."""

    kind = Kind.CONFLICT
    code = "hash_mismatch"


class BlobNotFound(NotFound):
    """The account has no such bytes; whether somebody else has them is not told."""

    code = "blob_not_found"


class AssetNotFound(NotFound):
    code = "not_found"


class AssetInUse(Refusal):
    """A job that has not ended reads it."""

    kind = Kind.CONFLICT
    code = "asset_in_use"


class MissingAssets(Refusal):
    """A graph names assets that this account does not have."""

    kind = Kind.UNPROCESSABLE
    code = "missing_asset"

    def __init__(self, missing: Sequence[str]) -> None:
        named = ", ".join(missing[:MOST_NAMED]) + (" and more" if len(missing) > MOST_NAMED else "")
        super().__init__(
            f"The workflow names assets that do not exist: {named}.", details={"missing_ids": list(missing)}
        )


async def receive(
    database: Database,
    storage: Storage,
    chunks: AsyncIterator[bytes],
    *,
    limit_bytes: int,
    expected_hash: Digest | None = None,
) -> Received:
    """Stream bytes into the storage; memory stays at a few MiB whatever their size.

    Nothing is stored when it raises TooLarge or HashMismatch, when `chunks` raises or the caller is cancelled.
    """
    async with spooled(storage.spool, chunks, limit_bytes) as body:
        if expected_hash is not None and body.hash != expected_hash:
            raise HashMismatch(
                f"The file's hash is {spell_hash(body.hash)}, not {spell_hash(expected_hash)}.",
                details={"hash": spell_hash(body.hash)},
            )
        return await keep(database, storage, body)


async def receive_bytes(
    database: Database, storage: Storage, content: bytes, *, limit_bytes: int | None = None
) -> Received:
    """As receive, for bytes that are in memory already: one statement and one write. Raises TooLarge."""
    if limit_bytes is not None and len(content) > limit_bytes:
        raise TooLarge(limit_bytes)
    return await keep(database, storage, await hashed(content))


async def keep(database: Database, storage: Storage, body: Spooled) -> Received:
    """Store what has come. Announce, then write: a blob's row stands before its bytes, so none are stored unknown.

    Only PostgreSQL's own death within the next half second can forget the announcement; `recording` heals it.
    """
    async with database.autocommit() as tx:
        blob, new = await records.announce(tx, body.hash, body.size, sniff(body.head))
    if new or await storage.head(blob.key) != body.size:
        if isinstance(body.content, Path):
            await storage.adopt(blob.key, body.content, content_type=blob.content_type)
        else:
            await storage.put(blob.key, body.content, content_type=blob.content_type)
    return Received(blob)


async def record(tx: Tx, received: Received, draft: Draft) -> Recorded:
    """Make the account's record of received bytes, or give the one that it has of the very same upload.

    Raises BlobNotFound when the bytes were collected meanwhile (more than a day after they came).
    """
    if not await records.claim(tx, received.blob):
        raise BlobNotFound("The bytes were received too long ago; send them again.")
    asset_id = draft.id or AssetId(new_uuid())
    whole = dataclasses.replace(draft, id=asset_id, content_type=draft.content_type or received.content_type)
    repeatable = draft.id is None and draft.job_id is None
    same = await records.same(tx, whole, received.hash) if repeatable else None
    created = same is None and await records.insert(tx, whole, received.hash)
    return Recorded(await get(tx, draft.account_id, same or asset_id), created)


async def from_hash(tx: Tx, digest: Digest, draft: Draft) -> Recorded:
    """A record of bytes that the account uploaded, produced, or was told within the hour are known.

    Raises BlobNotFound.
    """
    blob = await records.permitted(tx, draft.account_id, digest)
    if blob is None:
        raise BlobNotFound(f"No file of this account has the hash {spell_hash(digest)}; upload it.")
    return await record(tx, Received(blob), draft)


async def known(tx: Tx, account_id: AccountId, digest: Digest) -> bool:
    """Whether from_hash will work for this account; after a yes it will for an hour, whatever is deleted."""
    return await records.known(tx, account_id, digest)


async def get(tx: Tx, account_id: AccountId, asset_id: AssetId) -> Asset:
    """The account's own asset. Raises AssetNotFound, also when it has expired."""
    return _found(await records.asset(tx, account_id, asset_id), asset_id)


async def linked(tx: Tx, asset_id: AssetId) -> Asset:
    """The asset of a link whose signature was verified. Raises AssetNotFound."""
    return _found(await records.linked(tx, asset_id), asset_id)


async def named(tx: Tx, account_id: AccountId, ids: Collection[AssetId]) -> dict[AssetId, Asset]:
    """All of these; nobody can delete them before the transaction ends, so ask it in the submit's own.

    Raises MissingAssets.
    """
    if not ids:
        return {}
    found = await records.named(tx, account_id, ids)
    if missing := [str(asset_id) for asset_id in ids if asset_id not in found]:
        raise MissingAssets(missing)
    return found


async def inputs(tx: Tx, job_id: JobId) -> dict[AssetId, Asset]:
    """What a job reads, by id."""
    return await records.inputs(tx, job_id)


async def delete(tx: Tx, account_id: AccountId, asset_id: AssetId) -> None:
    """Delete the record; its bytes go a day after the last record of them. Raises AssetNotFound, AssetInUse."""
    if not await records.lock(tx, account_id, asset_id):
        raise _unknown(asset_id)
    if not await records.delete_unused(tx, [asset_id]):
        raise AssetInUse("A job that has not ended reads this asset; cancel it or wait for its end.")


async def stream(storage: Storage, asset: Asset, part: Slice | None = None) -> Body:
    """Open its bytes, or a part of them. Raises ContentMissing, StorageUnavailable."""
    body = await storage.get(asset.blob.key, part)
    if body.total != asset.size:
        raise ContentMissing("The stored file is not what was put there; the disk may have lost it.")
    return body


async def address(storage: Storage, asset: Asset, *, ttl: dt.timedelta) -> str | None:
    """Where anyone can fetch it from the storage for `ttl`; None when we have to serve it ourselves.

    The storage serves the type that the bytes were first stored with; an asset with another type is ours to serve.
    """
    if asset.content_type != asset.blob.content_type:
        return None
    return await storage.public_url(asset.blob.key, ttl=ttl)


def _found(asset: Asset | None, asset_id: AssetId) -> Asset:
    if asset is None:
        raise _unknown(asset_id)
    return asset


def _unknown(asset_id: AssetId) -> AssetNotFound:
    return AssetNotFound(f"There is no asset {asset_id}.")
