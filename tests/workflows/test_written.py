"""A manifest's text is YAML 1.2 without its traps; what is not is refused with its line and column."""

from typing import Any

import pytest

from atelier.workflows.written import LARGEST, InvalidManifest, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("16:9", "16:9", id="ratio"),
        pytest.param("1:1", "1:1", id="small ratio"),
        pytest.param("on", "on", id="on"),
        pytest.param("no", "no", id="no"),
        pytest.param("2026-11-21", "2026-11-21", id="date"),
        pytest.param("0x10", "0x10", id="hexadecimal"),
        pytest.param("010", 10, id="leading zero"),
        pytest.param("-7", -7, id="negative"),
        pytest.param("1.5", 1.5, id="point"),
        pytest.param("1e3", 1000.0, id="exponent"),
        pytest.param(".5", 0.5, id="bare point"),
        pytest.param("true", True, id="true"),
        pytest.param("null", None, id="null"),
        pytest.param("~", None, id="tilde"),
        pytest.param("'5'", "5", id="quoted"),
        pytest.param("9" * 40, "9" * 40, id="forty digits"),
    ],
)
def test_a_plain_value_is_what_its_author_meant(text: str, value: Any) -> None:
    document = load(f"it: {text}")

    assert repr(document) == repr({"it": value})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: 1\nb: 2\na: 3", "line 3, column 1: 'a' stands twice", id="twice"),
        pytest.param("a: &x [1]\nb: *x", "line 1, column 4: anchors", id="anchor"),
        pytest.param("a: *x", "line 1, column 4: anchors", id="alias"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "line 1, column 4: tags", id="tag"),
        pytest.param("a: [1, 2", "line", id="open list"),
        pytest.param("a: b: c", "line 1, column 5", id="two colons"),
        pytest.param("{a: b}: c", "a name must be a text", id="mapping as a name"),
        pytest.param("a: 1\n---\nb: 2", "another document", id="two documents"),
        pytest.param("[" * 100_000, "nested more than 20 levels deep", id="deep"),
        pytest.param("- " * 30 + "a", "nested more than 20 levels deep", id="deep list"),
        pytest.param("a: \x00", "is no YAML", id="nul"),
        pytest.param("[" + "1," * 60_000 + "1]", "more than 50000 values", id="many"),
        pytest.param("#" * (LARGEST + 1), "is larger than", id="large"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InvalidManifest) as refusal:
        load(text)

    assert said in refusal.value.message


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidManifest):
        load(b"\xff\xfe\x00")


def test_a_laughing_bomb_is_refused_before_anything_is_built() -> None:
    bomb = "a: &a [x,x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]" for n in range(20)
    )

    with pytest.raises(InvalidManifest, match="anchors"):
        load(bomb)
