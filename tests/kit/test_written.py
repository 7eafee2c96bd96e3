import json

import pytest

from atelier.kit.written import Written, text_of, with_members


def test_what_was_written_is_an_object_like_any_other() -> None:
    written = Written('{"a": 1, "b": {"c": [2]}}')

    assert written == {"a": 1, "b": {"c": [2]}}
    assert {**written} == {"a": 1, "b": {"c": [2]}}
    assert (written["a"], list(written), len(written), "x" in written) == (1, ["a", "b"], 2, False)
    assert Written("{}") == {}
    assert Written("{}") != written


def test_it_goes_out_as_it_was_written() -> None:
    assert text_of(Written('{"a":  1.0}')) == '{"a":  1.0}'
    assert text_of({"a": 1.0, "ü": None}) == '{"a":1.0,"ü":null}'


@pytest.mark.parametrize("text", ["{}", " { } ", '{"a": 1}', '{"a": "}"}'])
@pytest.mark.parametrize("members", [{}, {"x": 1}, {"x": "}{", "y": None}])
def test_members_are_added_without_parsing(text: str, members: dict[str, object]) -> None:
    assert json.loads(with_members(text, members)) == json.loads(text) | members
