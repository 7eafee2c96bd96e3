"""New ids sort by the time they were made; an id is spelled in one way only."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.kit import clock
from atelier.kit.ids import new_uuid, parse_uuid


def test_a_new_id_is_a_version_7_uuid_of_this_moment() -> None:
    before = int(clock.utcnow().timestamp() * 1000)

    made = new_uuid()

    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= int(clock.utcnow().timestamp() * 1000) + 1


def test_new_ids_differ() -> None:
    assert len({new_uuid() for _ in range(1000)}) == 1000


@given(st.uuids())
def test_every_id_is_read_as_it_was_written(value: uuid.UUID) -> None:
    assert parse_uuid(str(value)) == value


@given(st.uuids())
def test_other_spellings_are_no_ids(value: uuid.UUID) -> None:
    text = str(value)

    for other in (text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}", f" {text}", f"{text}\n"):
        assert parse_uuid(other) is None


@pytest.mark.parametrize(
    "text", ["", "job", "0190163d-8694-739b-aea5-966c26f8ad9Z", "A" * 36, "\u0660" * 32, "\ud800", "\x00" * 36]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_uuid(text) is None


@given(st.text())
def test_no_text_is_an_accident(text: str) -> None:
    assert parse_uuid(text) is None or str(parse_uuid(text)) == text
