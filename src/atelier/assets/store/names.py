"""The SQL of files by name: what an account uploaded under a name, and what its jobs made."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from atelier.assets.model import Asset, Digest
from atelier.assets.names import FileName, Folder
from atelier.assets.store.records import ALIVE, SELECT_ASSET, as_asset
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId

_COLUMNS = 12
"""Of SELECT_ASSET; what a statement adds stands behind them."""

_UPLOADED = (
    SELECT_ASSET
    + f"""JOIN named_files n ON n.asset_id = a.id
WHERE n.account_id = %s AND n.folder = %s AND n.subfolder = %s AND n.name = %s AND {ALIVE}"""
)

_PRODUCED = (
    SELECT_ASSET.replace("FROM assets", ", j.position, o.name, o.subfolder FROM assets")
    + f"""JOIN outputs o ON o.asset_id = a.id JOIN jobs j ON j.id = o.job_id
WHERE j.account_id = %s AND j.position = ANY(%s) AND o.temporary = %s AND {ALIVE}
ORDER BY j.position, o.ordinal"""
)

_LISTED = """
SELECT name, position FROM (
    (SELECT n.name, NULL::bigint AS position, n.created_at
     FROM named_files n JOIN assets a ON a.id = n.asset_id
     WHERE (n.account_id::text || n.folder) = (%(account)s::text || %(folder)s) AND n.subfolder = ''
       AND (a.expires_at IS NULL OR a.expires_at > now())
     ORDER BY n.created_at DESC LIMIT %(most)s)
    UNION ALL
    (SELECT o.name, j.position, a.created_at
     FROM (SELECT id, position FROM jobs WHERE account_id = %(account)s AND %(folder)s <> 'input'
           ORDER BY position DESC LIMIT %(most)s) AS j
     JOIN outputs o ON o.job_id = j.id JOIN assets a ON a.id = o.asset_id
     WHERE o.temporary = (%(folder)s = 'temp')
       AND o.subfolder = ''
       AND (a.expires_at IS NULL OR a.expires_at > now())
     ORDER BY j.position DESC, o.ordinal DESC LIMIT %(most)s)
) AS files ORDER BY created_at DESC, position DESC NULLS LAST LIMIT %(most)s
"""

# Without the account of the name, which is its asset's, and with an expression: no plan, also none that was made
# while the tables were small, can walk all names of a folder.
_SAME_CONTENT = """
SELECT n.name FROM assets a JOIN named_files n ON n.asset_id = a.id
WHERE a.account_id = %s AND a.hash = %s AND n.folder = %s AND n.subfolder || '' = %s
  AND (a.expires_at IS NULL OR a.expires_at > now())
"""

_TAKEN = """
SELECT n.name FROM named_files n JOIN assets a ON a.id = n.asset_id
WHERE n.account_id = %s AND n.folder = %s AND n.subfolder = %s AND n.name = ANY(%s)
  AND (a.expires_at IS NULL OR a.expires_at > now())
"""

_REPLACE = """
UPDATE assets SET expires_at = now() WHERE id = (
    SELECT asset_id FROM named_files WHERE account_id = %s AND folder = %s AND subfolder = %s AND name = %s)
"""

_PUT = """
INSERT INTO named_files (account_id, folder, subfolder, name, asset_id) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (account_id, folder, subfolder, name)
DO UPDATE SET asset_id = excluded.asset_id, created_at = excluded.created_at
"""

_LATER = """
UPDATE assets SET expires_at = greatest(expires_at, %s) WHERE expires_at IS NOT NULL AND id = (
    SELECT asset_id FROM named_files WHERE account_id = %s AND folder = %s AND subfolder = %s AND name = %s)
"""


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """A job's file: where it stands among all jobs, and what its node called it."""

    asset: Asset
    position: int
    name: str
    subfolder: str


async def uploaded(tx: Tx, account_id: AccountId, file: FileName) -> Asset | None:
    rows = await tx.execute(_UPLOADED, (account_id, file.folder, file.subfolder, file.name))
    row = await rows.fetchone()
    return as_asset(row) if row else None


async def produced(
    tx: Tx, account_id: AccountId, positions: Sequence[int], *, temporary: bool
) -> list[ProducedFile]:
    """Everything that the account's jobs at these positions made, in the order of its making."""
    rows = await tx.execute(_PRODUCED, (account_id, list(positions), temporary))
    return [ProducedFile(as_asset(row[:_COLUMNS]), *row[_COLUMNS:]) for row in await rows.fetchall()]


async def listed(tx: Tx, account_id: AccountId, folder: Folder, most: int) -> list[tuple[str, int | None]]:
    """Names at the top of a folder, the newest first; with the job's position where a job made the file.

    No more than `most` of them, and of the newest `most` jobs.
    """
    rows = await tx.execute(_LISTED, {"account": account_id, "folder": folder, "most": most})
    return [(row[0], row[1]) for row in await rows.fetchall()]


async def lock_folder(tx: Tx, account_id: AccountId, file: FileName) -> None:
    """One upload at a time chooses its name in a folder, until the transaction ends."""
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
        (f"named_files {account_id} {file.folder} {file.subfolder}",),
    )


async def same_content(tx: Tx, account_id: AccountId, file: FileName, digest: Digest) -> set[str]:
    """Names in the file's folder under which the account keeps these very bytes."""
    rows = await tx.execute(_SAME_CONTENT, (account_id, digest, file.folder, file.subfolder))
    return {row[0] for row in await rows.fetchall()}


async def taken(tx: Tx, account_id: AccountId, file: FileName, names: Collection[str]) -> set[str]:
    """Those of `names` that the file's folder has."""
    rows = await tx.execute(_TAKEN, (account_id, file.folder, file.subfolder, list(names)))
    return {row[0] for row in await rows.fetchall()}


async def put(tx: Tx, account_id: AccountId, file: FileName, asset_id: AssetId) -> None:
    """Give the asset this name. What had it before expires now; jobs that read it still do.

    Assets are locked before names, as whoever deletes an asset does.
    """
    where = (account_id, file.folder, file.subfolder, file.name)
    await tx.execute(_REPLACE, where)
    await tx.execute(_PUT, (*where, asset_id))


async def last_longer(tx: Tx, account_id: AccountId, file: FileName, until: dt.datetime) -> None:
    """A file that expires does so no earlier than this."""
    await tx.execute(_LATER, (until, account_id, file.folder, file.subfolder, file.name))
