"""Settings and files of the editor: read and written whole, bounded, and one writer of an account at a time."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.assets import recording
from atelier.assets import service as assets
from atelier.assets.model import Asset, Draft, Received
from atelier.kit.database import Database, Tx
from atelier.kit.ids import AccountId, AssetId, new_uuid
from atelier.storage.model import Storage
from atelier.userdata import rules, store
from atelier.userdata.model import BadPath, FileExists, NoSuchFile, TooMuchKept, UserFile

SETTING_BYTES = 1_000_000
MOST_SETTINGS = 2_000
ALL_SETTINGS_BYTES = 10_000_000
"""The editor asks for all of them at once."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one file in bytes, and how many files an account may keep."""

    file_bytes: int
    most_files: int


async def settings(tx: Tx, account_id: AccountId) -> dict[str, Any]:
    """All of them, by key."""
    return await store.settings(tx, account_id)


async def setting(tx: Tx, account_id: AccountId, key: str) -> Any:
    """Its value; None for one that is not kept."""
    return await store.setting(tx, account_id, key) if rules.is_key(key) else None


async def change_settings(tx: Tx, account_id: AccountId, values: Mapping[str, object]) -> None:
    """Merge these in. Raises BadPath and TooMuchKept, and nothing has changed then."""
    if not all(map(rules.is_key, values)):
        raise BadPath(f"The name of a setting is text of at most {rules.KEY_BYTES} bytes.")
    if any(map(rules.is_deep, values.values())):
        raise BadPath(f"A setting has at most {rules.MOST_LEVELS} levels.")
    if any(len(json.dumps(value)) > SETTING_BYTES for value in values.values()):
        raise TooMuchKept(f"A setting has at most {SETTING_BYTES} bytes: keep it as a file.")
    await store.lock(tx, account_id)
    await store.save_settings(tx, account_id, values)
    count, size = await store.measure_settings(tx, account_id)
    if count > MOST_SETTINGS or size > ALL_SETTINGS_BYTES:
        raise TooMuchKept(f"An account keeps at most {MOST_SETTINGS} settings of {ALL_SETTINGS_BYTES} bytes.")


async def files(tx: Tx, account_id: AccountId, folder: str) -> Sequence[UserFile]:
    """All files below the folder, however deep."""
    return await store.files(tx, account_id, folder)


async def file(tx: Tx, account_id: AccountId, path: str) -> UserFile | None:
    return await store.file(tx, account_id, path)


async def content(tx: Tx, account_id: AccountId, path: str) -> tuple[UserFile, Asset]:
    """A file and its bytes' record. Raises NoSuchFile."""
    found = await store.file(tx, account_id, path)
    if found is None:
        raise _missing(path)
    return found, await assets.get(tx, account_id, found.asset_id)


async def write(
    database: Database,
    storage: Storage,
    account_id: AccountId,
    path: str,
    chunks: AsyncIterator[bytes],
    *,
    bounds: Bounds,
    overwrite: bool,
) -> UserFile:
    """Keep these bytes at the path. Raises FileExists, TooLarge, TooMuchKept, BadPath; then all is as before."""
    async with database.autocommit() as tx:
        await _check_place(tx, account_id, path, bounds, overwrite=overwrite)
    received = await assets.receive(database, storage, chunks, limit_bytes=bounds.file_bytes)

    async def save(tx: Tx, came: Received) -> UserFile:
        await store.lock(tx, account_id)
        former = await _check_place(tx, account_id, path, bounds, overwrite=overwrite)
        draft = Draft(account_id, came.content_type, id=AssetId(new_uuid()))
        recorded = await assets.record(tx, came, draft)
        if former is not None:
            await store.expire(tx, account_id, former.asset_id)
        return await store.save(tx, account_id, path, recorded.asset.id, came.size)

    return await recording.recorded(database, storage, received, save)


async def move(tx: Tx, account_id: AccountId, path: str, to: str, *, overwrite: bool) -> UserFile:
    """The file under its new path. Raises NoSuchFile, FileExists, BadPath."""
    await store.lock(tx, account_id)
    found = await store.file(tx, account_id, path)
    if found is None:
        raise _missing(path)
    if path == to and overwrite:
        return found
    if await store.file(tx, account_id, to) is not None:
        if not overwrite:
            raise _taken(to)
        await delete(tx, account_id, to)
    moved = await store.rename(tx, account_id, path, to)
    await _check_tree(tx, account_id, to)
    return moved


async def delete(tx: Tx, account_id: AccountId, path: str) -> None:
    """Raises NoSuchFile."""
    asset_id = await store.delete(tx, account_id, path)
    if asset_id is None:
        raise _missing(path)
    await store.expire(tx, account_id, asset_id)


async def _check_place(
    tx: Tx, account_id: AccountId, path: str, bounds: Bounds, *, overwrite: bool
) -> UserFile | None:
    """What is at the path now. Raises FileExists, TooMuchKept, BadPath."""
    former = await store.file(tx, account_id, path)
    if former is not None and not overwrite:
        raise _taken(path)
    if former is None:
        await _check_tree(tx, account_id, path)
        if await store.count_files(tx, account_id) >= bounds.most_files:
            raise TooMuchKept(f"An account keeps at most {bounds.most_files} files: delete some.")
    return former


async def _check_tree(tx: Tx, account_id: AccountId, path: str) -> None:
    """A folder is no file, and a file no folder."""
    if await store.in_the_way(tx, account_id, path, rules.parents(path)):
        raise BadPath("There is a folder of that name, or a file in the way to it.")


def _missing(path: str) -> NoSuchFile:
    return NoSuchFile(f"There is no file {path!r}.")


def _taken(path: str) -> FileExists:
    return FileExists(f"There is a file {path!r} already.")
