"""What servers can run and what graphs need, each stored once by its content."""

from collections.abc import Collection, Mapping
from typing import Any

from psycopg.types.json import Json, Jsonb

from atelier.fleet.inventory import Inventory, stored
from atelier.fleet.model import Requirement
from atelier.fleet.pages import Pages
from atelier.kit.database import Tx
from atelier.kit.ids import ServerId


async def save_inventory(tx: Tx, server_id: ServerId, inventory: Inventory, system: Mapping[str, Any]) -> None:
    """Its list, which may be many megabytes, is sent only when it is new."""
    rows = await tx.execute("SELECT 1 FROM inventories WHERE digest = %s FOR KEY SHARE", (inventory.digest,))
    if await rows.fetchone() is None:
        await tx.execute(
            "INSERT INTO inventories (digest, body, files) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (inventory.digest, Json(dict(inventory.classes)), Jsonb(dict(inventory.files))),
        )
    await tx.execute(
        "UPDATE servers SET inventory_digest = %s, system = %s WHERE id = %s",
        (inventory.digest, Jsonb(dict(system)), server_id),
    )


async def inventories(tx: Tx, digests: Collection[bytes]) -> list[Inventory]:
    rows = await tx.execute("SELECT digest, body, files FROM inventories WHERE digest = ANY(%s)", (list(digests),))
    return [stored(bytes(digest), body, files) for digest, body, files in await rows.fetchall()]


async def requirement_id(tx: Tx, digest: bytes, requirement: Requirement) -> int:
    """The id of a requirement set, made when it is new. It may be named for a day: then ask again."""
    await tx.execute(
        "INSERT INTO requirements (digest, body) SELECT %s, %s"
        " WHERE NOT EXISTS (SELECT 1 FROM requirements WHERE digest = %s AND marked_at IS NULL)"
        " ON CONFLICT (digest) DO UPDATE SET marked_at = NULL WHERE requirements.marked_at IS NOT NULL",
        (digest, Jsonb(requirement.as_json()), digest),
    )
    row = await (await tx.execute("SELECT id FROM requirements WHERE digest = %s", (digest,))).fetchone()
    assert row is not None  # noqa: S101 - it was inserted, or was there without a mark, which nobody deletes today
    return int(row[0])


async def requirements(tx: Tx, ids: Collection[int]) -> dict[int, Requirement]:
    rows = await tx.execute("SELECT id, body FROM requirements WHERE id = ANY(%s)", (list(ids),))
    return {row[0]: Requirement.from_json(row[1]) for row in await rows.fetchall()}


async def save_pages(tx: Tx, server_id: ServerId, pages: Pages) -> None:
    """What the server adds to the editor; sent only when it is new."""
    rows = await tx.execute("SELECT 1 FROM server_pages WHERE digest = %s FOR KEY SHARE", (pages.digest,))
    if await rows.fetchone() is None:
        await tx.execute(
            "INSERT INTO server_pages (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (pages.digest, Jsonb(dict(pages.body))),
        )
    await tx.execute(
        "UPDATE servers SET pages_digest = %(digest)s"
        " WHERE id = %(id)s AND pages_digest IS DISTINCT FROM %(digest)s",
        {"digest": pages.digest, "id": server_id},
    )


async def page_digests(tx: Tx) -> dict[ServerId, bytes]:
    """Which pages each server of the fleet has; those that told none are left out."""
    rows = await tx.execute(
        "SELECT id, pages_digest FROM servers WHERE removed_at IS NULL AND pages_digest IS NOT NULL ORDER BY id"
    )
    return {ServerId(row[0]): bytes(row[1]) for row in await rows.fetchall()}


async def pages(tx: Tx, digests: Collection[bytes]) -> list[Pages]:
    rows = await tx.execute("SELECT digest, body FROM server_pages WHERE digest = ANY(%s)", (list(digests),))
    return [Pages(bytes(digest), body) for digest, body in await rows.fetchall()]
