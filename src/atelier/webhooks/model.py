"""What is told, to whom, and how it went; values only."""

import datetime as dt
import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NewType, Protocol

from atelier.kit.database import Tx
from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.ids import AccountId

EndpointId = NewType("EndpointId", uuid.UUID)
DeliveryId = NewType("DeliveryId", uuid.UUID)


class Event(enum.StrEnum):
    """What can be told. The last one is only sent when it is asked for."""

    RUNNING = "job.running"
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    EXPIRED = "job.expired"
    COMPLETED = "batch.completed"
    TEST = "webhook.test"


class State(enum.StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account is told. `events` empty: all that end a job or a batch.

    `failing_since`: nothing has arrived since then, and something was tried. `why_disabled` is for its owner.
    Messages are signed with `former_secret` too until `former_until`.
    """

    id: EndpointId
    account_id: AccountId
    url: str
    secret: str = field(repr=False)
    events: tuple[Event, ...]
    description: str
    enabled: bool
    created_at: dt.datetime
    failing_since: dt.datetime | None = None
    why_disabled: str = ""
    former_secret: str | None = field(default=None, repr=False)
    former_until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """An address that came with a request. `events` empty: what ends the thing that was asked for.

    `secret` None: the account's own (see rules.account_secret).
    """

    url: str
    events: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of one job or batch (`about`), and the addresses that were asked for with it."""

    account_id: AccountId
    event: Event
    about: uuid.UUID
    at: dt.datetime
    asked: tuple[Asked, ...] = ()


class Source(Protocol):
    """What happened, as the layers above know it; all of it in the transaction that takes the note away."""

    async def happened(self, tx: Tx, job_id: uuid.UUID, seq: int) -> tuple[Happening, ...]:
        """What a note of a job's event means; nothing for a job that is gone."""
        ...

    async def data(self, tx: Tx, happening: Happening) -> Mapping[str, Any]:
        """The `data` of its message."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One thing told to one address; its id is the webhook-id of every try."""

    id: DeliveryId
    account_id: AccountId
    endpoint_id: EndpointId | None
    url: str
    event: Event
    about: uuid.UUID
    body: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """A message to be sent now. `tries`: those of this round that are over.

    `secrets`: the endpoint's, or the one that came with the request; none: the account's own.
    """

    id: DeliveryId
    account_id: AccountId
    endpoint_id: EndpointId | None
    url: str
    event: Event
    body: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Try:
    """How one try went: a status, or why there is none; seconds; how the answer began (200 characters)."""

    status: int | None
    error: str
    said: str
    seconds: float

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Tried:
    """A try as it stands in the log."""

    number: int
    at: dt.datetime
    how: Try


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message with its fate. `tries` of all rounds; `next_at`: when it is tried again."""

    id: DeliveryId
    endpoint_id: EndpointId | None
    url: str
    event: Event
    about: uuid.UUID
    state: State
    tries: int
    next_at: dt.datetime | None
    created_at: dt.datetime
    ended_at: dt.datetime | None
    last: Try | None


class InvalidWebhook(Refusal):
    """A webhook that cannot be: its events, its secret or its words are not as they must be."""

    code: ClassVar[str] = "invalid_webhook"


class TooManyWebhooks(Refusal):
    """The account has as many endpoints as it may."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "too_many_webhooks"


class WebhookNotFound(NotFound):
    """There is no such endpoint, or it is somebody else's."""

    code: ClassVar[str] = "webhook_not_found"


class DeliveryNotFound(NotFound):
    """There is no such delivery, it is somebody else's, or it is older than the log reaches."""

    code: ClassVar[str] = "delivery_not_found"
