import datetime as dt
import urllib.parse
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.assets.links import sign, verify
from atelier.kit.ids import AssetId

SECRET = b"a made-up secret of 32 bytes....."
ID = AssetId(uuid.UUID(int=1))
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def opens(query: str, *, asset_id: AssetId = ID, secret: bytes = SECRET, now: dt.datetime = NOW) -> bool:
    parts = dict(urllib.parse.parse_qsl(query))
    return verify(secret, asset_id, expires=parts["expires"], signature=parts["signature"], now=now)


def test_a_link_opens_its_asset_until_it_expires() -> None:
    query = sign(SECRET, ID, NOW + HOUR)

    assert opens(query)
    assert opens(query, now=NOW + HOUR - dt.timedelta(seconds=1))
    assert not opens(query, now=NOW + HOUR)


def test_a_link_opens_nothing_else() -> None:
    query = sign(SECRET, ID, NOW + HOUR)

    assert not opens(query, asset_id=AssetId(uuid.UUID(int=2)))
    assert not opens(query, secret=b"another secret")


def test_a_link_cannot_be_made_to_last_longer() -> None:
    query = sign(SECRET, ID, NOW + HOUR).replace("expires=1", "expires=2")

    assert not opens(query)


@pytest.mark.parametrize("expires", ["", "-1", "1e9", "٣", " 5", "9" * 30])
def test_odd_times_open_nothing(expires: str) -> None:
    assert not verify(SECRET, ID, expires=expires, signature="x", now=NOW)


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_guess_opens_it_and_none_breaks_it(expires: str, signature: str) -> None:
    assert not verify(SECRET, ID, expires=expires, signature=signature, now=NOW)
