"""An account's endpoints and what they were told: made, changed, tested, and told again by hand.

Publish TOPIC after the commit of what makes something due.
"""

import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.http.outbound import Outbound
from atelier.kit.ids import AccountId, new_uuid
from atelier.webhooks import rules
from atelier.webhooks.model import (
    Delivery,
    DeliveryId,
    DeliveryNotFound,
    Endpoint,
    EndpointId,
    Event,
    InvalidWebhook,
    Message,
    State,
    TooManyWebhooks,
    Tried,
    WebhookNotFound,
)
from atelier.webhooks.store import deliveries, endpoints, log, outbox

TOPIC = "webhooks"
"""The wake-up of those who send."""

KEPT = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Page:
    deliveries: Sequence[Delivery]
    next_cursor: DeliveryId | None


@dataclass(frozen=True, slots=True)
class Whole:
    """A delivery with what was sent and every try."""

    delivery: Delivery
    body: str
    tries: Sequence[Tried]


@dataclass(frozen=True, slots=True)
class Change:
    """What is None stays as it is."""

    url: str | None = None
    events: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


async def create(
    tx: Tx,
    outbound: Outbound,
    account_id: AccountId,
    url: str,
    *,
    events: Sequence[str] = (),
    description: str = "",
    secret: str | None = None,
) -> Endpoint:
    """A new endpoint, with its secret. Raises ForbiddenAddress, InvalidWebhook and TooManyWebhooks."""
    new = Endpoint(
        id=EndpointId(new_uuid()),
        account_id=account_id,
        url=_checked(outbound, url),
        secret=secret or rules.new_secret(),
        events=rules.parse_events(events),
        description=_said(description),
        enabled=True,
        created_at=clock.utcnow(),
    )
    rules.check_secret(new.secret)
    await endpoints.lock_account(tx, account_id)
    if len(await endpoints.of_account(tx, account_id)) >= rules.MOST_ENDPOINTS:
        raise TooManyWebhooks(f"An account has at most {rules.MOST_ENDPOINTS} webhooks: remove one first.")
    return await endpoints.insert(tx, new)


async def listing(tx: Tx, account_id: AccountId) -> list[Endpoint]:
    """All of the account's, oldest first."""
    return await endpoints.of_account(tx, account_id)


async def read(tx: Tx, account_id: AccountId, endpoint_id: EndpointId) -> Endpoint:
    """Raises WebhookNotFound."""
    return _there(await endpoints.one(tx, account_id, endpoint_id))


async def change(
    tx: Tx, outbound: Outbound, account_id: AccountId, endpoint_id: EndpointId, to: Change
) -> Endpoint:
    """The endpoint as it is now. One that is switched off gives up what waits for it.

    Raises WebhookNotFound, ForbiddenAddress and InvalidWebhook.
    """
    now = await read(tx, account_id, endpoint_id)
    wanted = dataclasses.replace(
        now,
        url=now.url if to.url is None else _checked(outbound, to.url),
        events=now.events if to.events is None else rules.parse_events(to.events),
        description=now.description if to.description is None else _said(to.description),
        enabled=now.enabled if to.enabled is None else to.enabled,
    )
    changed = _there(await endpoints.change(tx, wanted))
    if now.enabled and not changed.enabled:
        await deliveries.give_up(tx, endpoint_id)
    return changed


async def remove(tx: Tx, account_id: AccountId, endpoint_id: EndpointId) -> None:
    """With all that it was told. Raises WebhookNotFound."""
    if not await endpoints.remove(tx, account_id, endpoint_id):
        raise _unknown()


async def rotate(tx: Tx, account_id: AccountId, endpoint_id: EndpointId) -> Endpoint:
    """With a new secret; for a day the former one signs too. Raises WebhookNotFound."""
    return _there(await endpoints.rotate(tx, account_id, endpoint_id, rules.new_secret(), rules.ROTATION))


async def test(tx: Tx, account_id: AccountId, endpoint_id: EndpointId) -> Delivery:
    """A message that says nothing, tried once, also where the endpoint is switched off. Raises WebhookNotFound."""
    endpoint = await read(tx, account_id, endpoint_id)
    about = new_uuid()
    body = spelled(
        Event.TEST, clock.utcnow(), {"webhook_id": str(endpoint_id), "description": endpoint.description}
    )
    message = message_to(endpoint, Event.TEST, about, body)
    await deliveries.insert(tx, [message])
    return await _delivery(tx, account_id, message.id)


async def history(
    tx: Tx,
    account_id: AccountId,
    *,
    limit: int,
    cursor: DeliveryId | None = None,
    state: State | None = None,
    endpoint_id: EndpointId | None = None,
) -> Page:
    """What the account was told, newest first. Raises WebhookNotFound."""
    if endpoint_id is not None:
        await read(tx, account_id, endpoint_id)
    found = await log.newest(tx, account_id, limit=limit + 1, before=cursor, state=state, endpoint_id=endpoint_id)
    shown = found[:limit]
    return Page(shown, shown[-1].id if len(found) > limit else None)


async def delivery(tx: Tx, account_id: AccountId, delivery_id: DeliveryId) -> Whole:
    """Raises DeliveryNotFound."""
    found = await _delivery(tx, account_id, delivery_id)
    return Whole(found, await log.body(tx, delivery_id), await log.tries(tx, delivery_id))


async def replay(tx: Tx, account_id: AccountId, delivery_id: DeliveryId) -> Delivery:
    """The same message under the same id is told again, with all its tries. Raises DeliveryNotFound."""
    if not await deliveries.again(tx, account_id, delivery_id):
        raise _untold()
    return await _delivery(tx, account_id, delivery_id)


async def forget(tx: Tx) -> int:
    """Up to a thousand deliveries that are older than KEPT, and notes that nobody could read. Gives how many."""
    before = DeliveryId(_oldest_id(clock.utcnow() - KEPT))
    return await deliveries.forget(tx, before) + await outbox.forget_unread(tx)


def spelled(event: Event, at: dt.datetime, data: Mapping[str, Any]) -> str:
    """The body of a message (Standard Webhooks, "Payload structure")."""
    told = {"type": event, "timestamp": clock.rfc3339(at), "data": data}
    return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def message_to(endpoint: Endpoint, event: Event, about: uuid.UUID, body: str) -> Message:
    return Message(
        id=DeliveryId(new_uuid()),
        account_id=endpoint.account_id,
        endpoint_id=endpoint.id,
        url=endpoint.url,
        event=event,
        about=about,
        body=body,
    )


async def _delivery(tx: Tx, account_id: AccountId, delivery_id: DeliveryId) -> Delivery:
    found = await log.one(tx, account_id, delivery_id)
    if found is None:
        raise _untold()
    return found


def _checked(outbound: Outbound, url: str) -> str:
    outbound.check(url)
    return url.strip()


def _said(description: str) -> str:
    if len(description) > rules.MOST_DESCRIPTION:
        raise InvalidWebhook(f"A description has at most {rules.MOST_DESCRIPTION} characters.")
    return description


def _there(found: Endpoint | None) -> Endpoint:
    if found is None:
        raise _unknown()
    return found


def _unknown() -> WebhookNotFound:
    return WebhookNotFound("There is no such webhook.")


def _untold() -> DeliveryNotFound:
    return DeliveryNotFound(f"There is no such delivery; they are kept for {KEPT.days} days.")


def _oldest_id(moment: dt.datetime) -> uuid.UUID:
    """The least id (RFC 9562, version 7) that was made at that moment or later."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
