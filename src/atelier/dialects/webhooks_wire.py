"""Webhooks as their owner is shown them; secrets only when they are made."""

import datetime as dt
import json
from typing import Any

from pydantic import BaseModel, Field

from atelier.dialects.asked import moment
from atelier.webhooks.model import Delivery, Endpoint, Event, State, Tried, Try
from atelier.webhooks.service import Page, Whole


class WebhookShown(BaseModel):
    """`events` empty: all that end a job or a batch. `failing_since`: nothing has arrived since then."""

    id: str
    url: str
    events: list[Event]
    description: str
    enabled: bool
    why_disabled: str = Field(description="Why it was switched off; empty where its owner did it.")
    failing_since: dt.datetime | None
    former_secret_until: dt.datetime | None = Field(
        description="Until then messages bear two signatures, one of the secret before."
    )
    created_at: dt.datetime


class WebhookMade(WebhookShown):
    """With its secret, this once."""

    secret: str


class WebhookList(BaseModel):
    webhooks: list[WebhookShown]


class SecretShown(BaseModel):
    """What signs messages to addresses that come with a request and bring no secret of their own."""

    secret: str


class TryShown(BaseModel):
    """`status` null: there was no answer, and `error` says why. `said`: how the answer began (200 characters)."""

    status: int | None
    error: str
    said: str
    seconds: float


class TryListed(TryShown):
    number: int
    at: dt.datetime


class DeliveryShown(BaseModel):
    """`id` is the message's webhook-id; `about` the job or batch; `webhook_id` null: it came with a request."""

    id: str
    webhook_id: str | None
    url: str
    event: Event
    about: str
    state: State
    tries: int
    next_try_at: dt.datetime | None
    created_at: dt.datetime
    ended_at: dt.datetime | None
    last_try: TryShown | None


class DeliveryDetails(DeliveryShown):
    """With what was sent and every try, the first one first."""

    body: dict[str, Any]
    log: list[TryListed]


class DeliveryList(BaseModel):
    deliveries: list[DeliveryShown]
    next_cursor: str | None


def endpoint_shown(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.id),
        "url": endpoint.url,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "why_disabled": endpoint.why_disabled,
        "failing_since": moment(endpoint.failing_since),
        "former_secret_until": moment(endpoint.former_until),
        "created_at": moment(endpoint.created_at),
    }


def endpoint_made(endpoint: Endpoint) -> dict[str, Any]:
    return endpoint_shown(endpoint) | {"secret": endpoint.secret}


def page_shown(page: Page) -> dict[str, Any]:
    cursor = str(page.next_cursor) if page.next_cursor else None
    return {"deliveries": [delivery_shown(one) for one in page.deliveries], "next_cursor": cursor}


def delivery_shown(one: Delivery) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "webhook_id": str(one.endpoint_id) if one.endpoint_id else None,
        "url": one.url,
        "event": one.event,
        "about": str(one.about),
        "state": one.state,
        "tries": one.tries,
        "next_try_at": moment(one.next_at),
        "created_at": moment(one.created_at),
        "ended_at": moment(one.ended_at),
        "last_try": _try(one.last) if one.last else None,
    }


def whole_shown(whole: Whole) -> dict[str, Any]:
    log = [_listed(each) for each in whole.tries]
    return delivery_shown(whole.delivery) | {"body": json.loads(whole.body), "log": log}


def _listed(tried: Tried) -> dict[str, Any]:
    return {"number": tried.number, "at": moment(tried.at), **_try(tried.how)}


def _try(how: Try) -> dict[str, Any]:
    return {"status": how.status, "error": how.error, "said": how.said, "seconds": how.seconds}
