"""An account's files by name: what it uploaded under one, and what its jobs made as their clients are shown it.

Only the account's own; a name of somebody else is a name of nothing.
"""

import datetime as dt
import mimetypes
from collections.abc import Collection, Iterable

from atelier.assets import content_types, service
from atelier.assets.model import Asset, Digest, Draft, Received
from atelier.assets.names import FileName, Folder, inner_path, number_in, numbered, parse_value
from atelier.assets.rules import InvalidAsset, parse_file_path
from atelier.assets.store import names as store
from atelier.comfy.output_names import positions_in, shown_name
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId, new_uuid

MOST_LISTED = 10_000
TEMP_LIVES = dt.timedelta(days=1)
"""How long an upload to the temp folder is kept; a server empties it at its start."""

_PROBES = 64


async def resolve(
    tx: Tx, account_id: AccountId, value: str, *, default: Folder | str = Folder.INPUT
) -> AssetId | None:
    """The asset that a loader's value names: `x.png`, `sub/x.png`, `x.png [output]`, `x.png [temp]`.

    Without an annotation it lies in `default`. None for what is no name, unknown, expired or somebody else's.
    """
    file = parse_value(value, Folder(default))
    asset = await find(tx, account_id, file) if file else None
    return asset.id if asset else None


async def find(tx: Tx, account_id: AccountId, file: FileName) -> Asset | None:
    """The account's file of this name: an upload, else what a job of it made."""
    asset = await store.uploaded(tx, account_id, file)
    if asset is not None or file.folder is Folder.INPUT:
        return asset
    return await _produced(tx, account_id, file)


async def names(tx: Tx, account_id: AccountId, folder: Folder | str, *, newest_first: bool = False) -> list[str]:
    """The names at the top of the folder, sorted; of more than 10,000 the newest.

    As ComfyUI lists them for LoadImage and /internal/files: files in subfolders can be named but are not listed.
    """
    listed = await store.listed(tx, account_id, Folder(folder), MOST_LISTED)
    shown = dict.fromkeys(_shown(listed))
    return list(shown) if newest_first else sorted(shown)


async def keep(
    tx: Tx, account_id: AccountId, received: Received, wanted: FileName, *, overwrite: bool = False
) -> FileName:
    """Keep received bytes under the wanted name or, where other content has it, under the next: `x (1).png`.

    The same content under one of those names is that file. With `overwrite` the name is taken in any case. Raises
    BlobNotFound.
    """
    await store.lock_folder(tx, account_id, wanted)
    same = await store.same_content(tx, account_id, wanted, received.hash)
    name = wanted.name if overwrite else await _choice(tx, account_id, wanted, same)
    file = FileName(wanted.folder, wanted.subfolder, name)
    if name in same:
        await store.last_longer(tx, account_id, file, clock.utcnow() + TEMP_LIVES)
    else:
        recorded = await service.record(tx, received, _draft(account_id, received, file))
        await store.put(tx, account_id, file, recorded.asset.id)
    return file


async def free(tx: Tx, account_id: AccountId, wanted: FileName, digest: Digest) -> FileName:
    """What `keep` would call a file of these bytes, without keeping any."""
    same = await store.same_content(tx, account_id, wanted, digest)
    return FileName(wanted.folder, wanted.subfolder, await _choice(tx, account_id, wanted, same))


def _shown(listed: Iterable[tuple[str, int | None]]) -> Iterable[str]:
    return (name if position is None else shown_name(name, position) for name, position in listed)


async def _produced(tx: Tx, account_id: AccountId, file: FileName) -> Asset | None:
    positions = positions_in(file.name)
    if not positions:
        return None
    found = await store.produced(tx, account_id, positions, temporary=file.folder is Folder.TEMP)
    for one in found:
        if shown_name(one.name, one.position) == file.name and inner_path(one.subfolder) == file.subfolder:
            return one.asset
    return None


async def _choice(tx: Tx, account_id: AccountId, wanted: FileName, same: Collection[str]) -> str:
    """The first name of the row that is free, unless one before it has the same content."""
    free_number = await _free(tx, account_id, wanted)
    numbers = (number_in(name, wanted.name) for name in same)
    before = [number for number in numbers if number is not None and number < free_number]
    return numbered(wanted.name, min(before, default=free_number))


async def _free(tx: Tx, account_id: AccountId, wanted: FileName) -> int:
    """The first number whose name is free; after thousands of them one that is, before which one is taken.

    Few questions however many files have the name: the first 64, then ever larger steps, then what lies between.
    """
    numbers: Iterable[int] = range(_PROBES)
    last_taken, first_free = -1, None
    while first_free is None or first_free - last_taken > 1:
        asked = {number: numbered(wanted.name, number) for number in numbers}
        taken = await store.taken(tx, account_id, wanted, asked.values())
        first_free = next((number for number, name in asked.items() if name not in taken), first_free)
        last_taken = max(
            (number for number in asked if first_free is None or number < first_free), default=last_taken
        )
        numbers = _between(last_taken, first_free)
    return first_free


def _between(last_taken: int, first_free: int | None) -> Iterable[int]:
    """Where to look next: the last known to be taken, the first known to be free."""
    if first_free is None:
        return [last_taken << step for step in range(1, _PROBES // 2)]
    return range(last_taken + 1, first_free, max((first_free - last_taken) // _PROBES, 1))


def _draft(account_id: AccountId, received: Received, file: FileName) -> Draft:
    """An asset of its own, whatever else the account has of these bytes: it goes when its name is taken over."""
    return Draft(
        account_id,
        content_type=_content_type(received, file.name),
        file_path=_file_path(file),
        expires_at=clock.utcnow() + TEMP_LIVES if file.folder is Folder.TEMP else None,
        id=AssetId(new_uuid()),
    )


def _content_type(received: Received, name: str) -> str:
    """What the bytes say, else what the name says."""
    if received.content_type != content_types.UNKNOWN:
        return received.content_type
    return mimetypes.guess_type(name)[0] or content_types.UNKNOWN


def _file_path(file: FileName) -> str:
    """Its path as Comfy API v2 shows it; empty for a name that v2 would not take."""
    path = f"{file.subfolder}/{file.name}" if file.subfolder else file.name
    try:
        return parse_file_path(f"input/{path}" if file.folder is Folder.INPUT else file.name)
    except InvalidAsset:
        return ""
