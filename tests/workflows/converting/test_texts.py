"""What the editor does to texts is done to them in one look at each character, however they are written."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atelier.workflows.converting import texts
from atelier.workflows.converting.drawing import ORDINAL
from atelier.workflows.converting.promoting import PREFIX

REMARKS = re.compile(r"/\*[\s\S]*?\*/|//.*")
"""The editor's own expression (processDynamicPrompt), which looks at a long text again and again."""


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("a {red|green} boat", "a red boat"),
        ("{{a|b} {c|d}|e}", "a c"),
        ("x {a|{b|c}} y", "x a y"),
        ("{a {b|c", "a b"),
        ("{a|b {c", "a"),
        ("a } b | c", "a } b | c"),
        (r"\{a\|b\}", "{a|b}"),
        ("a /* b */ c // d\ne", "a  c \ne"),
    ],
)
def test_a_prompt_is_sent_with_its_first_choices_and_without_remarks(written: str, sent: str) -> None:
    assert texts.prompt(written) == sent


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text("/*\na", max_size=30))
def test_remarks_are_those_of_the_editor(written: str) -> None:
    assert texts.prompt(written) == REMARKS.sub("", written)


@pytest.mark.parametrize("way", ["remarks", "braces", "choices"])
def test_a_text_of_a_million_signs_holds_nobody_up(way: str) -> None:
    """Looked at as often as it is long, each of these would take hours."""
    count = 300_000
    texts_of = {
        "remarks": ("/*x" * count, "/*x" * count),
        "braces": ("{a" * count + "}" * count, "a" * count),
        "choices": ("{a|" * count + "}" * count, "a"),
    }
    written, sent = texts_of[way]

    assert texts.prompt(written) == sent


def test_names_of_a_million_signs_hold_nobody_up() -> None:
    assert ORDINAL.search("1" * 1_000_000 + "x") is None
    assert ORDINAL.search("1" * 1_000_000) is None
    assert PREFIX.match("1:" + " " * 1_000_000 + "\n\n") is None


@pytest.mark.parametrize(("name", "ordinal"), [("image7", "7"), ("12", "12"), ("a1b0042", "0042"), ("x", None)])
def test_a_name_ends_with_its_ordinal(name: str, ordinal: str | None) -> None:
    found = ORDINAL.search(name)

    assert (found[1] if found else None) == ordinal
