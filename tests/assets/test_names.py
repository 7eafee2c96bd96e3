import posixpath
import string
import urllib.parse
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.assets.names import (
    FileName,
    Folder,
    annotated,
    inner_path,
    number_in,
    numbered,
    parse_new,
    parse_value,
)
from atelier.comfy.output_names import positions_in, server_name, shown_name

PIECES = [
    "..",
    ".",
    "/",
    "\\",
    "a",
    "b.png",
    " ",
    "C:",
    "%2e",
    "%2f",
    "%5c",
    "%25",
    "\0",
    "\uff0e",
    "\uff0f",
    "[output]",
]
texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
names = st.text(string.ascii_letters + string.digits + " _-().ü图", min_size=1, max_size=20)
folders = st.sampled_from(Folder)


def stays_inside(path: str) -> bool:
    """For a POSIX and for a Windows system, as it is."""
    below = posixpath.normpath(posixpath.join("/base", path))
    windows = PureWindowsPath(path)
    return (
        (below == "/base" or below.startswith("/base/"))
        and ".." not in PurePosixPath(path).parts
        and ".." not in windows.parts
        and not windows.drive
        and not windows.root
    )


@given(texts)
def test_a_path_never_leaves_its_folder(text: str) -> None:
    path = inner_path(text)

    assert path is None or (stays_inside(path) and "\0" not in path)


@given(texts)
def test_a_plain_path_is_its_own_plain_form(text: str) -> None:
    path = inner_path(text)

    assert path is None or inner_path(path) == path


@given(texts, folders)
def test_a_loaders_value_never_names_anything_outside(value: str, default: Folder) -> None:
    file = parse_value(value, default)

    assert file is None or (stays_inside(f"{file.subfolder}/{file.name}".lstrip("/")) and "/" not in file.name)


@given(folders, texts, texts)
def test_a_new_name_stays_inside_however_often_it_is_decoded(folder: Folder, subfolder: str, name: str) -> None:
    file = parse_new(folder, subfolder, name)

    if file is not None:
        path = f"{file.subfolder}/{file.name}".lstrip("/")
        for _ in range(3):
            assert stays_inside(path)
            path = urllib.parse.unquote(path)


@given(folders, texts, texts)
def test_what_was_uploaded_can_be_loaded_by_its_name(folder: Folder, subfolder: str, name: str) -> None:
    file = parse_new(folder, subfolder, name)

    if file is not None:
        path = f"{file.subfolder}/{file.name}" if file.subfolder else file.name
        assert parse_value(f"{path} [{folder}]") == file
        assert parse_value(path, folder) == file


@given(names, st.integers(0, 10**12))
def test_a_number_is_found_again_in_a_name(name: str, number: int) -> None:
    assert number_in(numbered(name, number), name) == number


@given(names, names)
def test_a_name_that_is_not_of_the_row_has_no_number(name: str, wanted: str) -> None:
    number = number_in(name, wanted)

    assert number is None or numbered(wanted, number) == name


@given(names, st.integers(1, 10**17), st.integers(1, 99_999))
def test_a_shown_name_says_its_position_and_can_be_loaded(name: str, position: int, count: int) -> None:
    for made in (f"{name}_{count:05}_.png", f"{name}_{count:05}.mp4", f"{name}.txt"):
        shown = shown_name(made, position)

        file = parse_value(f"{shown} [output]")

        assert position in positions_in(shown)
        assert server_name(shown, position) == made
        assert file == FileName(Folder.OUTPUT, "", shown)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x.png [output]", ("x.png", Folder.OUTPUT)),
        ("x.png [input]", ("x.png", Folder.INPUT)),
        ("x.png [temp]", ("x.png", Folder.TEMP)),
        ("x.png[output]", ("x.pn", Folder.OUTPUT)),
        ("x.png [Output]", ("x.png [Output]", None)),
        ("x.png [output] ", ("x.png [output] ", None)),
        ("[output]", ("", Folder.OUTPUT)),
        ("x [temp] [input]", ("x [temp]", Folder.INPUT)),
    ],
)
def test_an_annotation_is_read_as_comfyui_reads_it(value: str, expected: tuple[str, Folder | None]) -> None:
    """folder_paths.annotated_filepath cuts a fixed number of characters, in lower case only."""
    assert annotated(value) == expected
