"""Signatures that others can check, tries over more than a day, and an end to them."""

import base64
import datetime as dt
import os
import uuid

import pytest

from atelier.kit import clock
from atelier.kit.http.outbound import ForbiddenAddress, Outbound
from atelier.webhooks import rules
from atelier.webhooks.model import Asked, Event, InvalidWebhook, Try
from support.receiver import Received

FAILED = Try(500, "", "", 0.1)
GONE = Try(410, "", "", 0.1)


def test_a_signature_is_that_of_the_published_example() -> None:
    """The one that libraries of Standard Webhooks test themselves with."""
    signed = rules.signature(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_of_two_secrets_signs() -> None:
    old, new, other = (rules.new_secret() for _ in range(3))
    body = b'{"a":"\xc3\xa9"}'

    headers = {"webhook-id": "id", "webhook-timestamp": "1700000000"}
    headers["webhook-signature"] = rules.signature("id", 1700000000, body, [new, old])

    received = Received("/", headers, body)
    assert [received.signed_by(secret) for secret in (old, new, other)] == [True, True, False]


def test_secrets_are_new_each_time_and_an_accounts_own_is_always_the_same() -> None:
    account = uuid.uuid4()

    made = {rules.new_secret() for _ in range(10)}
    own = {rules.account_secret(b"installation", account) for _ in range(3)}
    others = {rules.account_secret(b"another", account), rules.account_secret(b"installation", uuid.uuid4())}

    assert (len(made), len(own), len(own | others)) == (10, 1, 3)
    for secret in made | own:
        rules.check_secret(secret)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_others_may_be_of_all_sizes_of_the_specification(size: int) -> None:
    rules.check_secret("whsec_" + base64.b64encode(os.urandom(size)).decode())


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_AAAA", "whsec_" + "A" * 92, "A" * 44, "whsec_" + "?" * 44, "whsec_" + "A" * 45],
)
def test_a_secret_that_could_not_sign_is_refused(secret: str) -> None:
    with pytest.raises(InvalidWebhook, match="24 to 64 bytes"):
        rules.check_secret(secret)


def test_events_are_known_ones_and_each_counts_once() -> None:
    chosen = rules.parse_events(["batch.completed", "job.failed", "job.failed"])

    assert chosen == (Event.FAILED, Event.COMPLETED)
    for unknown in ("job.done", "webhook.test", "*"):
        with pytest.raises(InvalidWebhook, match="no event"):
            rules.parse_events([unknown])


def test_who_names_nothing_is_told_of_every_end() -> None:
    told = {event for event in Event if rules.wants((), event)}

    assert told == rules.ENDS
    assert rules.wants((Event.RUNNING,), Event.RUNNING)
    assert not rules.wants((Event.RUNNING,), Event.SUCCEEDED)


def test_a_message_is_tried_eight_times_within_two_days() -> None:
    shortest = [rules.pause_after(tries, FAILED, Event.FAILED, 0.0) for tries in range(1, 9)]
    longest = [rules.pause_after(tries, FAILED, Event.FAILED, 1.0) for tries in range(1, 9)]

    assert shortest == [5, 60, 600, 3600, 14400, 43200, 86400, None]
    assert sum(pause for pause in longest if pause is not None) == pytest.approx(rules.LASTING)
    assert 86_400 < rules.LASTING < 2.2 * 86_400


def test_who_is_gone_and_a_test_are_not_tried_again() -> None:
    assert rules.pause_after(1, GONE, Event.SUCCEEDED, 0.5) is None
    assert rules.pause_after(1, FAILED, Event.TEST, 0.5) is None


def test_an_endpoint_is_given_up_after_five_days_without_anything() -> None:
    now = clock.utcnow()

    given_up = [
        rules.gave_up_on(since, now) for since in (None, now - dt.timedelta(days=4.9), now - dt.timedelta(days=5))
    ]

    assert given_up == [False, False, True]


def test_what_comes_with_a_request_is_checked_when_it_comes() -> None:
    outbound = Outbound(user_agent="Test/1")

    rules.check_asked(outbound, Asked("https://example.com/hook", ("job.failed",), rules.new_secret()))

    for asked in (Asked("https://example.com/", ("job.ended",)), Asked("https://example.com/", (), "short")):
        with pytest.raises(InvalidWebhook):
            rules.check_asked(outbound, asked)
    with pytest.raises(ForbiddenAddress):
        rules.check_asked(outbound, Asked("http://169.254.169.254/"))
