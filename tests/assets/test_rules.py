import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.assets import rules
from atelier.assets.model import Asset, Blob, Digest, Placement
from atelier.kit.ids import AccountId, AssetId

DIGEST = Digest(bytes(range(32)))


def asset(file_path: str, content_type: str = "image/png") -> Asset:
    some = uuid.UUID(int=7)
    blob = Blob(DIGEST, some, 3, "image/png")
    now = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    return Asset(AssetId(some), AccountId(some), blob, content_type, file_path, (), now, None, None)


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_is_read_as_it_is_written_in_any_case(digest: bytes) -> None:
    spelled = rules.spell_hash(Digest(digest))

    assert rules.parse_hash(spelled) == rules.parse_hash(spelled.upper()) == digest
    assert rules.parse_hash(digest.hex()) == digest


@pytest.mark.parametrize("text", ["", "blake3:", "sha256:" + "0" * 64, "0" * 63, "0" * 65, "blake3:" + "g" * 64])
def test_what_is_no_hash_is_none(text: str) -> None:
    assert rules.parse_hash(text) is None
    with pytest.raises(rules.InvalidAsset):
        rules.require_hash(text)


@pytest.mark.parametrize(
    "path", ["", "x.png", "Ünï cödé (1).png", "input/x.png", "input/a/b c/x.png", ".hidden", "a..b"]
)
def test_bare_names_and_paths_below_input_are_taken(path: str) -> None:
    assert rules.parse_file_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x.png",
        "input/../../x.png",
        "input/..",
        "input//x.png",
        "input/",
        "./x.png",
        "..\\x.png",
        "input/a\\..\\x.png",
        "C:\\x.png",
        "C:x.png",
        "output/x.png",
        "models/checkpoints/x.safetensors",
        "sub/x.png",
        "x\0.png",
        "x\n.png",
        "x\u202egnp.exe",
        "x\ud800.png",
        "x.png [output]",
        "x.png[TEMP] ",
        "input/x.png [input]",
        " x.png",
        "x.png.",
        "a" * 256,
        "ä" * 128,
        "input/" + "/".join(["a" * 200] * 6),
    ],
)
def test_other_paths_are_refused_in_words(path: str) -> None:
    with pytest.raises(rules.InvalidAsset):
        rules.parse_file_path(path)


@given(st.text(st.sampled_from("ab./\\: é\0[]input"), max_size=40))
def test_no_path_that_is_taken_leaves_its_folder(path: str) -> None:
    try:
        taken = rules.parse_file_path(path)
    except rules.InvalidAsset:
        return

    placed = rules.placement(asset(taken))
    parts = [*placed.subfolder.split("/"), placed.name] if placed.subfolder else [placed.name]
    assert all(part not in {"", ".", ".."} and "\\" not in part and ":" not in part for part in parts)


@pytest.mark.parametrize(
    ("path", "placed"),
    [
        ("x.png", Placement("", "x.png")),
        ("input/x.png", Placement("", "x.png")),
        ("input/a/b/x.png", Placement("a/b", "x.png")),
        ("", Placement("", DIGEST.hex() + ".png")),
    ],
)
def test_an_asset_is_placed_where_its_path_says(path: str, placed: Placement) -> None:
    assert rules.placement(asset(path)) == placed


def test_what_could_run_scripts_is_a_download() -> None:
    assert rules.disposition(asset("ä b.png")) == "inline; filename*=UTF-8''%C3%A4%20b.png"
    for kind in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"):
        assert rules.disposition(asset("x", kind)).startswith("attachment;")


def test_a_media_type_is_tidied() -> None:
    assert rules.parse_content_type(" Image/PNG ") == "image/png"
    assert rules.parse_content_type("text/plain; charset=utf-8") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("text", ["", "png", "image/", "image/png\r\nX: y", "a/" + "b" * 200, "image/png;", "ä/b"])
def test_what_is_no_media_type_is_refused(text: str) -> None:
    with pytest.raises(rules.InvalidAsset):
        rules.parse_content_type(text)


def test_tags_are_kept_once_and_in_order() -> None:
    assert rules.parse_tags(["b", "a", "b"]) == ("b", "a")


@pytest.mark.parametrize("tags", [[""], ["x" * 129], ["a\nb"], ["\ud800"], [str(number) for number in range(33)]])
def test_other_tags_are_refused(tags: list[str]) -> None:
    with pytest.raises(rules.InvalidAsset):
        rules.parse_tags(tags)
