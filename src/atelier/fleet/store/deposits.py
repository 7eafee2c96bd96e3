"""What we placed or produced on the disks of servers, and what of it may be removed there."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from atelier.kit.database import Tx
from atelier.kit.ids import ServerId

OUTPUTS = "output/atelier"
"""Below ComfyUI's own folder: a folder per day, in it one per attempt."""

# A file that a job reads which has not ended, and the outputs of a day in which something was begun that still
# lives, are left out. What somebody is about to remove is told again, in case it could not. A name that leads
# elsewhere (servers choose them) is never told: scripts remove what they read here.
_MAY_GO = r"""
f.server_id = %(server)s AND f.reference !~ '\.\.|[[:cntrl:]]' AND (f.leaving_at IS NOT NULL
   OR (f.reference LIKE 'input/atelier/%%' AND f.used_at < now() - make_interval(secs => %(age)s)
       AND NOT EXISTS (
           SELECT 1 FROM assets a JOIN job_inputs i ON i.asset_id = a.id JOIN jobs j ON j.id = i.job_id
           WHERE a.hash = decode(left(f.name, 64), 'hex') AND j.finished_at IS NULL))
   OR (f.reference LIKE 'output/atelier/%%'
       AND to_date(right(f.name, 8), 'YYYYMMDD') + interval '1 day'
           < (now() AT TIME ZONE 'UTC') - make_interval(secs => %(age)s)
       AND NOT EXISTS (
           SELECT 1 FROM attempts t WHERE t.server_id = f.server_id AND t.state <> 'ended'
           AND (t.claimed_at AT TIME ZONE 'UTC')::date <= to_date(right(f.name, 8), 'YYYYMMDD'))))
"""

_LEFTOVERS = f"SELECT f.reference, f.size, f.used_at FROM server_files f WHERE {_MAY_GO} ORDER BY f.reference"  # noqa: S608 - fixed parts

_LOCK = f"SELECT 1 FROM server_files f WHERE {_MAY_GO} ORDER BY f.reference FOR UPDATE"  # noqa: S608 - fixed parts

_TAKE = f"""
UPDATE server_files f SET leaving_at = coalesce(f.leaving_at, now()) WHERE {_MAY_GO}
RETURNING f.reference, f.size, f.used_at
"""  # noqa: S608 - fixed parts


@dataclass(frozen=True, slots=True)
class Deposit:
    """An input that lies on a server: `reference` is its path below ComfyUI's own folder, `size` in bytes."""

    name: str
    reference: str
    size: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or a folder that may be removed; the size of a folder (0) is not known."""

    path: str
    size: int
    used_at: dt.datetime


async def inputs(tx: Tx, server_id: ServerId, names: Collection[str]) -> dict[str, Deposit]:
    """Those of these inputs that lie on the server, by name. From now on they count as used today.

    The rows are locked, so that who takes leftovers sees the job that this is for, or is seen here.
    """
    rows = await tx.execute(
        "SELECT name, reference, size, used_at < now() - interval '1 day' FROM server_files"
        " WHERE server_id = %s AND name = ANY(%s) AND leaving_at IS NULL ORDER BY reference FOR SHARE",
        (server_id, list(names)),
    )
    found = await rows.fetchall()
    if stale := [row[1] for row in found if row[3]]:
        await tx.execute(
            "UPDATE server_files SET used_at = now() WHERE server_id = %s AND reference = ANY(%s)",
            (server_id, stale),
        )
    return {row[0]: Deposit(*row[:3]) for row in found}


async def add(tx: Tx, server_id: ServerId, deposit: Deposit) -> None:
    """Write it down, before it is brought there; what was under its name is not used any more."""
    await tx.execute(
        "UPDATE server_files SET leaving_at = now()"
        " WHERE server_id = %s AND name = %s AND reference <> %s AND leaving_at IS NULL",
        (server_id, deposit.name, deposit.reference),
    )
    await tx.execute(
        "INSERT INTO server_files (server_id, reference, name, size) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (server_id, deposit.reference, deposit.name, deposit.size),
    )


async def add_outputs(tx: Tx, server_id: ServerId, day: str) -> str:
    """Outputs of this day (`20261121`) will lie there. Gives the folder."""
    folder = f"{OUTPUTS}/{day}"
    await add(tx, server_id, Deposit(folder, folder, 0))
    return folder


async def leftovers(tx: Tx, server_id: ServerId, age: float) -> list[Leftover]:
    """What nobody used for `age` seconds, and what is about to be removed; by path."""
    rows = await tx.execute(_LEFTOVERS, {"server": server_id, "age": age})
    return [Leftover(*row) for row in await rows.fetchall()]


async def take(tx: Tx, server_id: ServerId, age: float) -> list[Leftover]:
    """The same, for somebody who is about to remove them: from now on none of them is used.

    They are judged anew when they are locked: a job that came meanwhile and took one for granted is seen.
    """
    asked = {"server": server_id, "age": age}
    await tx.execute(_LOCK, asked)
    rows = await tx.execute(_TAKE, asked)
    return sorted((Leftover(*row) for row in await rows.fetchall()), key=lambda one: one.path)
