"""What a body costs is known before it is parsed, and what could not be stored does not get in."""

import json

import pytest

from atelier.kit.http.bodies import MOST_VALUES, BodyTooLarge, MalformedBody, parse_json


@pytest.mark.parametrize("member", [b"[]", b"{}", b"0", b'""', b'"\\",["', b'{"a":1}'])
def test_more_values_than_a_graph_may_have_are_not_even_parsed(member: bytes) -> None:
    body = b"[" + b",".join([member] * (MOST_VALUES + 1)) + b"]"

    with pytest.raises(BodyTooLarge):
        parse_json(body)


@pytest.mark.parametrize("text", ["," * MOST_VALUES * 2, '"[{,' * MOST_VALUES, "\\" * MOST_VALUES + ","])
def test_a_long_text_may_have_commas(text: str) -> None:
    body = json.dumps({"text": text, "more": [1, "a, b"]}).encode()

    assert parse_json(body) == {"text": text, "more": [1, "a, b"]}


@pytest.mark.parametrize(
    "body", [b'"' + b'\\"' * 2_000_000 + b"," * MOST_VALUES, b'"' * 1_000_001 + b"," * MOST_VALUES]
)
def test_a_text_that_does_not_end_is_refused(body: bytes) -> None:
    with pytest.raises((MalformedBody, BodyTooLarge)):
        parse_json(body)
