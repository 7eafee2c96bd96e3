"""What the fleet knows and nobody needs any more: inventories and pages of no server, old measures, files."""

from atelier.kit.database import Tx

MEASURES_DAYS = 30
FILES_DAYS = 30

_UNUSED = """
SELECT digest FROM inventories i WHERE created_at < now() - interval '2 days'
  AND NOT EXISTS (SELECT 1 FROM servers WHERE inventory_digest = i.digest)
FOR UPDATE SKIP LOCKED
"""


_UNUSED_PAGES = """
SELECT digest FROM server_pages p WHERE created_at < now() - interval '2 days'
  AND NOT EXISTS (SELECT 1 FROM servers WHERE pages_digest = p.digest)
FOR UPDATE SKIP LOCKED
"""


async def forget_inventories(tx: Tx) -> int:
    """Delete what no server has had for two days. Gives how many.

    A server that is about to have one of them holds its row (`catalogs.save_inventory`), which is skipped; one
    that has it since the first look is seen by the second, under the lock.
    """
    await tx.execute(
        "UPDATE servers SET inventory_digest = NULL"
        " WHERE removed_at < now() - interval '2 days' AND inventory_digest IS NOT NULL"
    )
    unused = [row[0] for row in await (await tx.execute(_UNUSED)).fetchall()]
    rows = await tx.execute(
        """DELETE FROM inventories i WHERE digest = ANY(%s)
           AND NOT EXISTS (SELECT 1 FROM servers WHERE inventory_digest = i.digest)""",
        (unused,),
    )
    return rows.rowcount


async def forget_pages(tx: Tx) -> int:
    """Delete what no server has added to the editor for two days, as `forget_inventories` does. Gives how many."""
    await tx.execute(
        "UPDATE servers SET pages_digest = NULL"
        " WHERE removed_at < now() - interval '2 days' AND pages_digest IS NOT NULL"
    )
    unused = [row[0] for row in await (await tx.execute(_UNUSED_PAGES)).fetchall()]
    rows = await tx.execute(
        """DELETE FROM server_pages p WHERE digest = ANY(%s)
           AND NOT EXISTS (SELECT 1 FROM servers WHERE pages_digest = p.digest)""",
        (unused,),
    )
    return rows.rowcount


async def forget_measures(tx: Tx) -> int:
    """Delete times that were not measured for a month; a row that changes at this moment stays."""
    runs = await tx.execute(
        "DELETE FROM run_times WHERE updated_at < now() - make_interval(days => %s)", (MEASURES_DAYS,)
    )
    loads = await tx.execute(
        "DELETE FROM load_times WHERE updated_at < now() - make_interval(days => %s)", (MEASURES_DAYS,)
    )
    return runs.rowcount + loads.rowcount


async def forget_files(tx: Tx) -> int:
    """Delete what somebody was about to remove a month ago, and what lies on servers that are as long gone."""
    rows = await tx.execute(
        """DELETE FROM server_files f WHERE leaving_at < now() - make_interval(days => %(days)s)
           OR (used_at < now() - make_interval(days => %(days)s) AND NOT EXISTS (
                SELECT 1 FROM servers s WHERE s.id = f.server_id
                AND (s.removed_at IS NULL OR s.removed_at > now() - make_interval(days => %(days)s))))""",
        {"days": FILES_DAYS},
    )
    return rows.rowcount
