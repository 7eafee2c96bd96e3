"""What was told, as its owner reads it: newest first, each with its last try, or one with all of them."""

from collections.abc import Sequence
from typing import Any, LiteralString

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId
from atelier.webhooks.model import Delivery, DeliveryId, EndpointId, Event, State, Tried, Try

_SHOWN: LiteralString = """
SELECT d.id, d.endpoint_id, d.url, d.event, d.about, d.state, d.tries, d.next_at, d.created_at, d.ended_at,
       t.status, t.error, t.said, t.seconds
FROM webhook_deliveries d
LEFT JOIN LATERAL (
    SELECT status, error, said, seconds FROM webhook_tries WHERE delivery_id = d.id ORDER BY number DESC LIMIT 1
) t ON true
"""

# New ids sort by the time they were made.
_REST: LiteralString = """
  AND (%(before)s::uuid IS NULL OR d.id < %(before)s) AND (%(state)s::text IS NULL OR d.state = %(state)s)
ORDER BY d.id DESC LIMIT %(limit)s
"""
_OF_ACCOUNT = _SHOWN + "WHERE d.account_id = %(account)s" + _REST
_OF_ENDPOINT = _SHOWN + "WHERE d.endpoint_id = %(endpoint)s AND (d.account_id = %(account)s) IS TRUE" + _REST
_ONE = _SHOWN + "WHERE d.id = %(id)s AND (d.account_id = %(account)s) IS TRUE"

_BODY = "SELECT body FROM webhook_deliveries WHERE id = %s"
_TRIES = """
SELECT number, created_at, status, error, said, seconds FROM webhook_tries WHERE delivery_id = %s ORDER BY number
"""


async def newest(
    tx: Tx,
    account_id: AccountId,
    *,
    limit: int,
    before: DeliveryId | None = None,
    state: State | None = None,
    endpoint_id: EndpointId | None = None,
) -> list[Delivery]:
    """Of one endpoint, or of all and of the addresses that came with requests."""
    asked = {"account": account_id, "endpoint": endpoint_id, "before": before, "state": state, "limit": limit}
    rows = await tx.execute(_OF_ACCOUNT if endpoint_id is None else _OF_ENDPOINT, asked)
    return [_delivery(row) for row in await rows.fetchall()]


async def one(tx: Tx, account_id: AccountId, delivery_id: DeliveryId) -> Delivery | None:
    row = await (await tx.execute(_ONE, {"account": account_id, "id": delivery_id})).fetchone()
    return _delivery(row) if row else None


async def body(tx: Tx, delivery_id: DeliveryId) -> str:
    row = await (await tx.execute(_BODY, (delivery_id,))).fetchone()
    return str(row[0]) if row else ""


async def tries(tx: Tx, delivery_id: DeliveryId) -> list[Tried]:
    rows = await tx.execute(_TRIES, (delivery_id,))
    return [Tried(row[0], row[1], Try(row[2], row[3], row[4], row[5])) for row in await rows.fetchall()]


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(
        id=DeliveryId(row[0]),
        endpoint_id=EndpointId(row[1]) if row[1] else None,
        url=row[2],
        event=Event(row[3]),
        about=row[4],
        state=State(row[5]),
        tries=row[6],
        next_at=row[7],
        created_at=row[8],
        ended_at=row[9],
        last=None if row[13] is None else Try(row[10], row[11], row[12], row[13]),
    )
