"""A path names one of the account's own files, or nothing, however it is spelled."""

import datetime as dt
import uuid
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.kit.ids import AssetId
from atelier.userdata import rules
from atelier.userdata.model import BadPath, PathLeadsOut, UserFile

OUT = [
    "..",
    "../x",
    "a/../../x",
    "a/b/../../../x",
    "/etc/passwd",
    "//host/x",
    "\\windows\\x",
    "..\\x",
    "a\\..\\..\\x",
    "C:\\x",
    "c:x",
    "C:/x",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "%252e%252e%252fx",
    "..%2fx",
    "..%5cx",
    "%2fetc%2fpasswd",
    "\uff0e\uff0e/x",
    "\u2025/x",
    "\uff0fetc",
    "a/%2e%2e/%2e%2e/x",
    "x\\..%5c..%5cy",
]

BAD = ["", ".", "./", "a\0b", "\0", "a\nb", "a\x7f", "a\u202eb", "x" * 256, "a/" * 600, "\ud800", "a/\x1b[2J"]


@pytest.mark.parametrize("text", OUT)
def test_no_spelling_leads_out(text: str) -> None:
    with pytest.raises(PathLeadsOut):
        rules.parse_file(text)


@pytest.mark.parametrize("text", BAD)
def test_what_no_file_is_called_is_refused(text: str) -> None:
    with pytest.raises(BadPath):
        rules.parse_file(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.json", "a.json"),
        ("workflows/a b.json", "workflows/a b.json"),
        ("workflows\\a.json", "workflows/a.json"),
        ("./a//b/./c", "a/b/c"),
        ("a/../b", "b"),
        ("50%.json", "50%.json"),
        ("a%20b", "a%20b"),
        (".index.json", ".index.json"),
        ("ä/日本.json", "ä/日本.json"),
        ("..a/b..", "..a/b.."),
        ("con", "con"),
    ],
)
def test_other_names_are_themselves(text: str, path: str) -> None:
    assert rules.parse_file(text) == path


@given(st.text(max_size=60), st.integers(0, 3))
def test_a_path_that_is_taken_is_plain_whoever_decodes_it(text: str, times: int) -> None:
    for _ in range(times):
        text = quote(text, safe="")
    try:
        path = rules.parse_file(text)
    except (BadPath, PathLeadsOut):
        return
    assert rules.parse_file(path) == path
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert "\\" not in path


def file(path: str) -> UserFile:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return UserFile(path, AssetId(uuid.uuid4()), 1, now, now)


def test_listings_show_what_lies_in_a_folder_and_hide_what_begins_with_a_dot() -> None:
    files = [
        file(path) for path in ("w/b.json", "w/a.json", "w/sub/c.json", "w/.index.json", "w/.h/x", "wx/y", "z")
    ]

    top = [path for path, _ in rules.listed(files, "w", recurse=False)]
    deep = [path for path, _ in rules.listed(files, "w", recurse=True)]

    assert top == ["a.json", "b.json"]
    assert deep == ["a.json", "b.json", "sub/c.json"]
    assert [path for path, _ in rules.listed(files, "", recurse=False)] == ["z"]


def test_folders_are_those_that_have_files() -> None:
    files = [file(path) for path in ("w/sub/deep/c.json", "w/a", "x/y")]

    assert rules.folders(files, "") == ["w", "w/sub", "w/sub/deep", "x"]
    assert rules.folders(files, "w") == ["w/sub", "w/sub/deep"]
