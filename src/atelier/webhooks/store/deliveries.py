"""Messages on their way. Whoever takes one moves `next_at` on: if the sender dies, it is due again then.

Locks are taken in one order: endpoint, delivery.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

from atelier.kit.database import Tx
from atelier.kit.ids import AccountId
from atelier.webhooks.model import DeliveryId, Due, EndpointId, Event, Message, Try

LOOKED_AT = 500

_INSERT = """
INSERT INTO webhook_deliveries (id, account_id, endpoint_id, url, secret, event, about, body)
SELECT m.id, m.account, m.endpoint, m.url, m.secret, m.event, m.about, m.body
FROM unnest(%(id)s::uuid[], %(account)s::uuid[], %(endpoint)s::uuid[], %(url)s::text[], %(secret)s::text[],
            %(event)s::text[], %(about)s::uuid[], %(body)s::text[])
     AS m(id, account, endpoint, url, secret, event, about, body)
ON CONFLICT (about, event, endpoint_id, url) DO NOTHING
"""

# The oldest are looked at; of these, so many of one address and one account as may be sent at once. An account or
# address that has all it may have in hand is left out, so that it stands in nobody's way.
_TAKE = """
WITH due AS MATERIALIZED (
    SELECT id, account_id, url, next_at FROM webhook_deliveries
    WHERE state = 'pending' AND next_at <= now()
      AND account_id <> ALL(%(accounts)s::uuid[]) AND url <> ALL(%(urls)s::text[])
    ORDER BY next_at LIMIT %(looked_at)s
), ranked AS (
    SELECT id, next_at, row_number() OVER (PARTITION BY account_id, url ORDER BY next_at) AS of_url,
           row_number() OVER (PARTITION BY account_id ORDER BY next_at) AS of_account
    FROM due
), mine AS (
    SELECT id, endpoint_id FROM webhook_deliveries
    WHERE id = ANY(ARRAY(
        SELECT id FROM ranked WHERE of_url <= %(per_url)s AND of_account <= %(per_account)s
        ORDER BY next_at LIMIT %(most)s))
      AND state = 'pending' AND next_at <= now()
    FOR UPDATE SKIP LOCKED
)
UPDATE webhook_deliveries d SET next_at = now() + %(lease)s
FROM mine LEFT JOIN webhook_endpoints e ON e.id = mine.endpoint_id
WHERE d.id = mine.id
RETURNING d.id, d.account_id, d.endpoint_id, coalesce(e.url, d.url), d.event, d.body, coalesce(e.secret, d.secret),
          CASE WHEN e.former_until > now() THEN e.former_secret END, d.tries - d.spent
"""

# Only what is still pending gets another end; what arrived has arrived, whatever was thought of it meanwhile.
_RECORD = """
UPDATE webhook_deliveries
SET tries = tries + 1,
    state = CASE WHEN %(good)s THEN 'delivered' WHEN state = 'pending' AND %(pause)s::float IS NULL THEN 'failed'
                 ELSE state END,
    ended_at = CASE WHEN %(good)s OR (state = 'pending' AND %(pause)s::float IS NULL) THEN now() ELSE ended_at END,
    next_at = CASE WHEN state = 'pending' AND NOT %(good)s THEN now() + make_interval(secs => %(pause)s::float) END
WHERE id = %(id)s RETURNING tries
"""

_LOG = """
INSERT INTO webhook_tries (delivery_id, number, status, error, said, seconds) VALUES (%s, %s, %s, %s, %s, %s)
"""

_AGAIN = """
UPDATE webhook_deliveries SET state = 'pending', next_at = now(), spent = tries, ended_at = NULL
WHERE id = %s AND (account_id = %s) IS TRUE
"""

_GIVE_UP = """
UPDATE webhook_deliveries SET state = 'failed', next_at = NULL, ended_at = now()
WHERE endpoint_id = %s AND state = 'pending'
"""

_FORGET = """
DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(
    SELECT id FROM webhook_deliveries WHERE id < %(before)s AND state <> 'pending' ORDER BY id LIMIT 1000))
"""


async def insert(tx: Tx, messages: Sequence[Message]) -> int:
    """Those that were not told before; gives how many."""
    written = await tx.execute(
        _INSERT,
        {
            "id": [one.id for one in messages],
            "account": [one.account_id for one in messages],
            "endpoint": [one.endpoint_id for one in messages],
            "url": [one.url for one in messages],
            "secret": [one.secret for one in messages],
            "event": [one.event for one in messages],
            "about": [one.about for one in messages],
            "body": [one.body for one in messages],
        },
    )
    return written.rowcount


async def take(
    tx: Tx,
    *,
    most: int,
    per_url: int,
    per_account: int,
    lease: dt.timedelta,
    busy_accounts: Collection[AccountId] = (),
    busy_urls: Collection[str] = (),
) -> list[Due]:
    """Up to `most` messages that are due; nobody else has them for the time of `lease`."""
    bounds = {"most": most, "per_url": per_url, "per_account": per_account, "looked_at": LOOKED_AT}
    busy = {"accounts": list(busy_accounts), "urls": list(busy_urls)}
    rows = await tx.execute(_TAKE, {**bounds, **busy, "lease": lease})
    return [_due(row) for row in await rows.fetchall()]


async def record(tx: Tx, delivery_id: DeliveryId, how: Try, pause: float | None) -> bool:
    """Write down a try. `pause`: seconds until the next one, None when it was the last. False: it is gone."""
    rows = await tx.execute(_RECORD, {"id": delivery_id, "good": how.good, "pause": pause})
    row = await rows.fetchone()
    if row is None:
        return False
    await tx.execute(_LOG, (delivery_id, row[0], how.status, how.error, how.said, how.seconds))
    return True


async def again(tx: Tx, account_id: AccountId, delivery_id: DeliveryId) -> bool:
    """All tries from the beginning, the first of them now. False: there is no such delivery."""
    return (await tx.execute(_AGAIN, (delivery_id, account_id))).rowcount == 1


async def give_up(tx: Tx, endpoint_id: EndpointId) -> None:
    """Whatever still waits for this endpoint."""
    await tx.execute(_GIVE_UP, (endpoint_id,))


async def forget(tx: Tx, before: DeliveryId) -> int:
    """Up to a thousand of those that ended, with ids that are older. Gives how many."""
    return (await tx.execute(_FORGET, {"before": before})).rowcount


def _due(row: Sequence[Any]) -> Due:
    return Due(
        id=DeliveryId(row[0]),
        account_id=AccountId(row[1]),
        endpoint_id=EndpointId(row[2]) if row[2] else None,
        url=row[3],
        event=Event(row[4]),
        body=row[5],
        secrets=tuple(secret for secret in row[6:8] if secret is not None),
        tries=row[8],
    )
