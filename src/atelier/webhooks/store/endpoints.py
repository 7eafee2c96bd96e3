"""Endpoints in PostgreSQL. The owner is part of every question, but for those of the sender."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, LiteralString

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId
from atelier.webhooks.model import Endpoint, EndpointId, Event

_COLUMNS: LiteralString = """
id, account_id, url, secret, events, description, enabled, created_at, failing_since, why_disabled, former_secret,
former_until
"""
_FOUND: LiteralString = f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE "  # noqa: S608 - columns of ours
_MINE: LiteralString = "id = %(id)s AND (account_id = %(account)s) IS TRUE"
_GIVEN: LiteralString = " RETURNING " + _COLUMNS

_INSERT = (
    """
INSERT INTO webhook_endpoints (id, account_id, url, secret, events, description)
VALUES (%(id)s, %(account)s, %(url)s, %(secret)s, %(events)s, %(description)s)
"""
    + _GIVEN
)
_OF_ACCOUNT = _FOUND + "account_id = %(account)s ORDER BY id"
_ONE = _FOUND + _MINE
_LOCKED = _FOUND + "id = %(id)s FOR NO KEY UPDATE"

_CHANGE = (
    """
UPDATE webhook_endpoints
SET url = %(url)s, events = %(events)s, description = %(description)s, enabled = %(enabled)s,
    why_disabled = CASE WHEN %(enabled)s THEN '' ELSE why_disabled END,
    failing_since = CASE WHEN %(enabled)s AND NOT enabled THEN NULL ELSE failing_since END
WHERE """
    + _MINE
    + _GIVEN
)
_ROTATE = (
    """
UPDATE webhook_endpoints
SET secret = %(secret)s, former_secret = secret, former_until = now() + %(overlap)s
WHERE """
    + _MINE
    + _GIVEN
)


async def lock_account(tx: Tx, account_id: AccountId) -> None:
    """Until the commit nobody else adds an endpoint to this account."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || %s::text, 0))", (account_id,))


async def insert(tx: Tx, new: Endpoint) -> Endpoint:
    values = {"id": new.id, "account": new.account_id, "url": new.url, "secret": new.secret}
    rows = await tx.execute(_INSERT, values | {"events": list(new.events), "description": new.description})
    row = await rows.fetchone()
    if row is None:
        raise LookupError("an insert gave no row back")
    return _endpoint(row)


async def of_account(tx: Tx, account_id: AccountId) -> list[Endpoint]:
    """All of them, oldest first."""
    rows = await tx.execute(_OF_ACCOUNT, {"account": account_id})
    return [_endpoint(row) for row in await rows.fetchall()]


async def one(tx: Tx, account_id: AccountId, endpoint_id: EndpointId) -> Endpoint | None:
    return await _found(tx, _ONE, {"id": endpoint_id, "account": account_id})


async def locked(tx: Tx, endpoint_id: EndpointId) -> Endpoint | None:
    """For the sender: before its deliveries, as everywhere."""
    return await _found(tx, _LOCKED, {"id": endpoint_id})


async def change(tx: Tx, changed: Endpoint) -> Endpoint | None:
    """Address, events, description and whether it is enabled; enabled again, it starts without a past."""
    values = {"id": changed.id, "account": changed.account_id, "url": changed.url, "enabled": changed.enabled}
    more = {"events": list(changed.events), "description": changed.description}
    return await _found(tx, _CHANGE, values | more)


async def rotate(
    tx: Tx, account_id: AccountId, endpoint_id: EndpointId, secret: str, overlap: dt.timedelta
) -> Endpoint | None:
    """`secret` from now on; what it replaces signs too for `overlap`."""
    values = {"id": endpoint_id, "account": account_id, "secret": secret, "overlap": overlap}
    return await _found(tx, _ROTATE, values)


async def remove(tx: Tx, account_id: AccountId, endpoint_id: EndpointId) -> bool:
    """With its deliveries."""
    gone = await tx.execute(
        "DELETE FROM webhook_endpoints WHERE id = %s AND (account_id = %s) IS TRUE", (endpoint_id, account_id)
    )
    return gone.rowcount == 1


async def set_failing(tx: Tx, endpoint_id: EndpointId, *, failing: bool) -> None:
    """Failing from now on, or not any more."""
    await tx.execute(
        "UPDATE webhook_endpoints SET failing_since = CASE WHEN %s THEN now() END WHERE id = %s",
        (failing, endpoint_id),
    )


async def disable(tx: Tx, endpoint_id: EndpointId, why: str) -> None:
    await tx.execute(
        "UPDATE webhook_endpoints SET enabled = false, why_disabled = %s WHERE id = %s", (why, endpoint_id)
    )


async def _found(tx: Tx, question: LiteralString, values: dict[str, Any]) -> Endpoint | None:
    row = await (await tx.execute(question, values)).fetchone()
    return _endpoint(row) if row else None


def _endpoint(row: Sequence[Any]) -> Endpoint:
    return Endpoint(
        id=EndpointId(row[0]),
        account_id=AccountId(row[1]),
        url=row[2],
        secret=row[3],
        events=tuple(Event(name) for name in row[4]),
        description=row[5],
        enabled=row[6],
        created_at=row[7],
        failing_since=row[8],
        why_disabled=row[9],
        former_secret=row[10],
        former_until=row[11],
    )
