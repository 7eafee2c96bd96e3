"""Signatures are those of Standard Webhooks; who is told, how often it is tried and when to stop stands here.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import os
import uuid
from collections.abc import Iterable, Sequence

from atelier.kit.http.outbound import Outbound
from atelier.webhooks.model import Asked, Event, InvalidWebhook, Try

PREFIX = "whsec_"
SECRET_BYTES = 32
LEAST_SECRET, MOST_SECRET = 24, 64
"""Bytes, as the specification has them."""

MOST_ENDPOINTS = 20
MOST_DESCRIPTION = 200

ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED, Event.EXPIRED, Event.COMPLETED})
"""What is told where nothing else is asked for."""
CHOICES = tuple(event for event in Event if event is not Event.TEST)

PAUSES = (5.0, 60.0, 600.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0)
"""Seconds before the second try, the third … eight tries within 41 hours and a half."""
JITTER = 0.2
"""Pauses are longer by up to this part, so that what failed together does not come back together."""

LASTING = sum(PAUSES) * (1 + JITTER)
"""Seconds from the first try of a message to its last."""

PATIENCE_DAYS = 5
ROTATION = dt.timedelta(hours=24)
GONE = 410


def new_secret() -> str:
    return _spelled(os.urandom(SECRET_BYTES))


def account_secret(installation: bytes, account_id: uuid.UUID) -> str:
    """What signs the messages to addresses that come with requests and bring no secret of their own."""
    return _spelled(hmac.digest(installation, b"webhooks of " + account_id.bytes, "sha256"))


def check_secret(secret: str) -> None:
    """Raises InvalidWebhook."""
    try:
        size = len(_key(secret))
    except (ValueError, binascii.Error):
        size = 0
    if not secret.startswith(PREFIX) or not LEAST_SECRET <= size <= MOST_SECRET:
        raise InvalidWebhook(
            f"A secret is {PREFIX!r} and base64 of {LEAST_SECRET} to {MOST_SECRET} bytes;"
            " leave it out to be given one."
        )


def parse_events(names: Iterable[str]) -> tuple[Event, ...]:
    """Each once, in the order of `Event`. Raises InvalidWebhook."""
    wanted = set(names)
    if unknown := wanted - set(CHOICES):
        raise InvalidWebhook(
            f"There is no event {min(unknown)[:40]!r}.", details={"known": [str(choice) for choice in CHOICES]}
        )
    return tuple(event for event in CHOICES if event in wanted)


def check_asked(outbound: Outbound, asked: Asked) -> None:
    """A webhook that comes with a request. Raises InvalidWebhook and ForbiddenAddress."""
    outbound.check(asked.url)
    parse_events(asked.events)
    if asked.secret is not None:
        check_secret(asked.secret)


def wants(chosen: Iterable[str], event: Event) -> bool:
    """Whether an endpoint with these events is told."""
    events = frozenset(chosen)
    return event in events if events else event in ENDS


def signature(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The value of webhook-signature: one `v1,<base64>` for each secret, with blanks between them.

    Signed is `<id>.<timestamp>.<body>` with HMAC-SHA256, the timestamp in whole seconds of Unix time.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_base64(hmac.digest(_key(secret), signed, hashlib.sha256))}" for secret in secrets)


def pause_after(tries: int, how: Try, event: Event, chance: float) -> float | None:
    """Seconds until a message is tried again after so many tries of a round; None: it is given up.

    `chance` from 0 to 1. A test is tried once, and who answered that it is gone is not asked again.
    """
    if how.status == GONE or event is Event.TEST or tries > len(PAUSES):
        return None
    return PAUSES[tries - 1] * (1 + JITTER * chance)


def gave_up_on(failing_since: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether an endpoint is left alone once a message to it was given up: nothing has arrived for days."""
    return failing_since is not None and now - failing_since >= dt.timedelta(days=PATIENCE_DAYS)


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def _spelled(key: bytes) -> str:
    return PREFIX + _base64(key)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
