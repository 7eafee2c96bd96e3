"""Which workflows there are, and which revision of each runs."""

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId
from atelier.workflows.model import Origin

NOBODY = uuid.UUID(int=0)
"""Stands for everybody in the unique index of owners and ids."""

_COLUMNS = "key, id, account_id, origin, current, changed_at, withdrawn_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Head:
    """A workflow without its revisions. `account_id` None: everybody's; `current` None: nothing is published."""

    key: int
    id: str
    account_id: AccountId | None
    origin: Origin
    current: int | None
    changed_at: dt.datetime
    withdrawn: bool

    @property
    def listed(self) -> bool:
        return self.current is not None and not self.withdrawn


async def changed(tx: Tx, since: dt.datetime) -> list[Head]:
    """Those that changed at or after a moment of the database's clock, the oldest change first."""
    rows = await tx.execute(
        f"SELECT {_COLUMNS} FROM workflows WHERE changed_at >= %s ORDER BY changed_at",  # noqa: S608 - constant
        (since,),
    )
    return [_head(row) for row in await rows.fetchall()]


async def locked(tx: Tx, account_id: AccountId | None, workflow_id: str) -> Head | None:
    """The workflow of this owner, held until the transaction ends."""
    rows = await tx.execute(
        f"SELECT {_COLUMNS} FROM workflows WHERE id = %s"  # noqa: S608 - constant
        " AND coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid) = %s FOR UPDATE",
        (workflow_id, account_id or NOBODY),
    )
    row = await rows.fetchone()
    return _head(row) if row else None


async def find(tx: Tx, account_id: AccountId | None, workflow_id: str) -> Head | None:
    """The workflow of this owner."""
    rows = await tx.execute(
        f"SELECT {_COLUMNS} FROM workflows WHERE id = %s"  # noqa: S608 - constant
        " AND coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid) = %s",
        (workflow_id, account_id or NOBODY),
    )
    row = await rows.fetchone()
    return _head(row) if row else None


async def insert(tx: Tx, account_id: AccountId | None, workflow_id: str, origin: Origin) -> Head | None:
    """A new workflow; None when this owner has one of that id."""
    rows = await tx.execute(
        "INSERT INTO workflows (id, account_id, origin, changed_at)"  # noqa: S608 - constant
        f" VALUES (%s, %s, %s, clock_timestamp()) ON CONFLICT DO NOTHING RETURNING {_COLUMNS}",
        (workflow_id, account_id, origin),
    )
    row = await rows.fetchone()
    return _head(row) if row else None


async def owned(tx: Tx, account_id: AccountId | None) -> int:
    """How many workflows this owner has that are not withdrawn."""
    rows = await tx.execute(
        "SELECT count(*) FROM workflows"
        " WHERE coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid) = %s AND withdrawn_at IS NULL",
        (account_id or NOBODY,),
    )
    row = await rows.fetchone()
    return int(row[0]) if row else 0


async def running_bytes(tx: Tx, account_id: AccountId) -> int:
    """Of manifests and graphs that run of this account, as they are kept."""
    rows = await tx.execute(
        "SELECT coalesce(sum(octet_length(graph) + octet_length(manifest::text)), 0)"
        " FROM workflows JOIN workflow_versions ON workflow_key = key AND revision = current"
        " WHERE coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid) = %s AND withdrawn_at IS NULL",
        (account_id,),
    )
    row = await rows.fetchone()
    return int(row[0]) if row else 0


async def set_current(tx: Tx, key: int, revision: int | None, origin: Origin) -> None:
    """Let this revision run from now on; the workflow is listed."""
    await tx.execute(
        "UPDATE workflows SET current = %s, origin = %s, withdrawn_at = NULL, changed_at = clock_timestamp()"
        " WHERE key = %s",
        (revision, origin, key),
    )


async def reopen(tx: Tx, key: int) -> None:
    """A withdrawn workflow begins anew: nothing of it runs until something is published."""
    await tx.execute(
        "UPDATE workflows SET current = NULL, withdrawn_at = NULL, changed_at = clock_timestamp() WHERE key = %s",
        (key,),
    )


async def touch(tx: Tx, key: int) -> None:
    """Whoever keeps it in memory reads it anew."""
    await tx.execute("UPDATE workflows SET changed_at = clock_timestamp() WHERE key = %s", (key,))


async def withdraw(tx: Tx, key: int) -> None:
    await tx.execute(
        "UPDATE workflows SET withdrawn_at = now(), changed_at = clock_timestamp()"
        " WHERE key = %s AND withdrawn_at IS NULL",
        (key,),
    )


def _head(row: tuple[Any, ...]) -> Head:
    key, workflow_id, account_id, origin, current, changed_at, withdrawn = row
    return Head(key, workflow_id, account_id, Origin(origin), current, changed_at, withdrawn)
