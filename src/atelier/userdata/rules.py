"""A path names one of the account's own files in every spelling, or nothing at all."""

import posixpath
import re
import unicodedata
from collections.abc import Iterable
from typing import cast
from urllib.parse import unquote

from atelier.userdata.model import BadPath, PathLeadsOut, UserFile

PART_BYTES = 255
PATH_BYTES = 1024
KEY_BYTES = 512
MOST_DECODED = 3
MOST_LEVELS = 100

_DRIVE = re.compile(r"[A-Za-z]:")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def parse_file(text: str) -> str:
    """The plain path of a file. Raises PathLeadsOut, and BadPath for what no file is called."""
    path = parse_folder(text)
    if not path:
        raise BadPath("A file needs a name.")
    return path


def parse_folder(text: str) -> str:
    """The plain path of a folder, empty for all files. Raises PathLeadsOut, BadPath.

    What leads out only after it was decoded again, or after look-alikes were taken for dots and slashes, is
    refused as well: others read these names.
    """
    if not _is_storable(text, PATH_BYTES):
        raise BadPath(f"A path is text of at most {PATH_BYTES} bytes.")
    decoded = text
    for _ in range(MOST_DECODED):
        for spelled in (decoded, unicodedata.normalize("NFKC", decoded)):
            if _plain(spelled) is None:
                raise PathLeadsOut("The path leads out of your files.")
        decoded = unquote(decoded)
    path = _plain(text) or ""
    for part in path.split("/"):
        _check_part(part)
    return path


def listed(files: Iterable[UserFile], folder: str, *, recurse: bool) -> list[tuple[str, UserFile]]:
    """The files below the folder with their paths from there, sorted; hidden ones (`.index.json`) are not shown.

    As Python's glob finds them, which ComfyUI asks (app/user_manager.py).
    """
    below = f"{folder}/" if folder else ""
    found = [(file.path.removeprefix(below), file) for file in files if file.path.startswith(below)]
    shown = [(path, file) for path, file in found if not _is_hidden(path) and (recurse or "/" not in path)]
    return sorted(shown, key=lambda each: each[0])


def folders(files: Iterable[UserFile], folder: str) -> list[str]:
    """All folders below `folder` that have files, by their paths."""
    below = f"{folder}/" if folder else ""
    paths = (file.path for file in files if file.path.startswith(below))
    return sorted({parent for path in paths for parent in parents(path) if len(parent) > len(below)})


def parents(path: str) -> list[str]:
    """`a/b/c` lies in `a` and `a/b`."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _plain(text: str) -> str | None:
    """Without dots and doubled slashes; None for what leads out or is absolute on any system."""
    path = text.replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        return None
    plain = posixpath.normpath(path) if path else "."
    if plain == ".." or plain.startswith("../"):
        return None
    return "" if plain == "." else plain


def is_key(text: str) -> bool:
    """Whether a setting can be called so."""
    return _is_storable(text, KEY_BYTES)


def is_deep(value: object) -> bool:
    """Whether parsed JSON is nested so deeply that somebody who reads it may fail: how deep that is, differs."""
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [member for one in level for member in _members(one)]
    return bool(level)


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _is_storable(text: str, most_bytes: int) -> bool:
    """UTF-8 without NUL, as PostgreSQL keeps it."""
    try:
        return len(text.encode()) <= most_bytes and "\0" not in text
    except UnicodeEncodeError:
        return False


def _check_part(part: str) -> None:
    odd = any(char in _TURNING or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in part)
    if odd or len(part.encode()) > PART_BYTES:
        raise BadPath(f"A name has at most {PART_BYTES} bytes and no control characters.")


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
