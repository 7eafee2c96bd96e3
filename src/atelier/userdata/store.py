"""The SQL of settings and user files; every question names its account."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId
from atelier.userdata.model import UserFile

_FILE = "SELECT path, asset_id, size, created_at, modified_at FROM user_files "


async def lock(tx: Tx, account_id: AccountId) -> None:
    """One writer of an account at a time, until the transaction ends."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('userdata:' || %s, 0))", (str(account_id),))


async def settings(tx: Tx, account_id: AccountId) -> dict[str, Any]:
    rows = await tx.execute(
        "SELECT key, value FROM user_settings WHERE account_id = %s ORDER BY key", (account_id,)
    )
    return {str(key): value for key, value in await rows.fetchall()}


async def setting(tx: Tx, account_id: AccountId, key: str) -> Any:
    """Its value; None for one that is not kept, or kept as null."""
    rows = await tx.execute(
        "SELECT value FROM user_settings WHERE account_id = %s AND key = %s", (account_id, key)
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def save_settings(tx: Tx, account_id: AccountId, values: Mapping[str, object]) -> None:
    await tx.execute(
        "INSERT INTO user_settings (account_id, key, value)"
        " SELECT %s, key, value::json FROM unnest(%s::text[], %s::text[]) AS changed (key, value)"
        " ON CONFLICT (account_id, key) DO UPDATE SET value = excluded.value",
        (account_id, list(values), [json.dumps(value, ensure_ascii=False) for value in values.values()]),
    )


async def measure_settings(tx: Tx, account_id: AccountId) -> tuple[int, int]:
    """How many there are, and how many bytes they have."""
    rows = await tx.execute(
        "SELECT count(*), coalesce(sum(octet_length(key) + octet_length(value::text)), 0)"
        " FROM user_settings WHERE account_id = %s",
        (account_id,),
    )
    [row] = await rows.fetchall()
    return int(row[0]), int(row[1])


async def files(tx: Tx, account_id: AccountId, folder: str) -> Sequence[UserFile]:
    """All files below the folder, however deep; of the account where it is empty."""
    below = f"{folder}/" if folder else ""
    rows = await tx.execute(
        _FILE + "WHERE account_id = %s AND starts_with(path, %s) ORDER BY path", (account_id, below)
    )
    return [_user_file(row) for row in await rows.fetchall()]


async def file(tx: Tx, account_id: AccountId, path: str) -> UserFile | None:
    rows = await tx.execute(_FILE + "WHERE account_id = %s AND path = %s", (account_id, path))
    row = await rows.fetchone()
    return _user_file(row) if row else None


async def count_files(tx: Tx, account_id: AccountId) -> int:
    return await _count(tx, "SELECT count(*) FROM user_files WHERE account_id = %s", account_id)


async def in_the_way(tx: Tx, account_id: AccountId, path: str, parents: Sequence[str]) -> bool:
    """Whether a file has the path of one of the folders, or lies below the path."""
    rows = await tx.execute(
        "SELECT 1 FROM user_files WHERE account_id = %s AND (path = ANY(%s) OR starts_with(path, %s)) LIMIT 1",
        (account_id, list(parents), f"{path}/"),
    )
    return await rows.fetchone() is not None


async def save(tx: Tx, account_id: AccountId, path: str, asset_id: AssetId, size: int) -> UserFile:
    """The file under its path, which may have had another content."""
    rows = await tx.execute(
        "INSERT INTO user_files (account_id, path, asset_id, size) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (account_id, path) DO UPDATE"
        " SET asset_id = excluded.asset_id, size = excluded.size, modified_at = now()"
        " RETURNING path, asset_id, size, created_at, modified_at",
        (account_id, path, asset_id, size),
    )
    [row] = await rows.fetchall()
    return _user_file(row)


async def rename(tx: Tx, account_id: AccountId, path: str, to: str) -> UserFile:
    """The same file under another path that is free; its times stay."""
    rows = await tx.execute(
        "UPDATE user_files SET path = %s WHERE account_id = %s AND path = %s"
        " RETURNING path, asset_id, size, created_at, modified_at",
        (to, account_id, path),
    )
    [row] = await rows.fetchall()
    return _user_file(row)


async def delete(tx: Tx, account_id: AccountId, path: str) -> uuid.UUID | None:
    """The asset that it had; None when there was no such file."""
    rows = await tx.execute(
        "DELETE FROM user_files WHERE account_id = %s AND path = %s RETURNING asset_id", (account_id, path)
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def expire(tx: Tx, account_id: AccountId, asset_id: uuid.UUID) -> None:
    """Its bytes are collected later: deleting it here would lock blobs in any order."""
    await tx.execute(
        "UPDATE assets SET expires_at = now() WHERE id = %s AND account_id = %s", (asset_id, account_id)
    )


async def _count(tx: Tx, question: LiteralString, account_id: AccountId) -> int:
    rows = await tx.execute(question, (account_id,))
    row = await rows.fetchone()
    return int(row[0]) if row else 0


def _user_file(row: tuple[Any, ...]) -> UserFile:
    path, asset_id, size, created_at, modified_at = row
    return UserFile(path, AssetId(asset_id), size, created_at, modified_at)
