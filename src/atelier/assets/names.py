"""How files are called in an account's own input, output and temp folders; no name leads out of its folder.

Names are rows, never paths of a disk of ours. What could mean another place to any system that reads it is refused
where a name is given, and is simply not found where one is asked for.
"""

import enum
import posixpath
import re
import unicodedata
import urllib.parse
from dataclasses import dataclass

from atelier.assets.rules import PART_BYTES, PATH_BYTES

_DRIVE = re.compile(r"[A-Za-z]:")
_ENDS_ANNOTATED = re.compile(r"\[(input|output|temp)\]\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"(?: \(([1-9][0-9]{0,17})\))?", re.ASCII)
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DECODED_AT_MOST = 2


class Folder(enum.StrEnum):
    """`type` in the native API."""

    INPUT = "input"
    OUTPUT = "output"
    TEMP = "temp"


@dataclass(frozen=True, slots=True)
class FileName:
    """A file as clients name it; `subfolder` is plain (`a/b`, no dots, no slashes around) and may be empty."""

    folder: Folder
    subfolder: str
    name: str


def parse_folder(text: str) -> Folder | None:
    return next((folder for folder in Folder if folder == text), None)


def annotated(text: str) -> tuple[str, Folder | None]:
    """`x.png [output]` is x.png in that folder; without the annotation, in lower case and at the very end: None.

    The character before the bracket goes with it, whatever it is (folder_paths.annotated_filepath).
    """
    for folder in Folder:
        ending = f"[{folder}]"
        if text.endswith(ending):
            return text[: -len(ending) - 1], folder
    return text, None


def inner_path(text: str) -> str | None:
    """`text` as a plain path below a folder, empty for the folder itself.

    None where it leads out, is absolute on any system, or cannot be stored. Backslashes are slashes.
    """
    if not _storable(text):
        return None
    path = text.replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        return None
    plain = posixpath.normpath(path) if path else "."
    if plain == ".." or plain.startswith("../"):
        return None
    return "" if plain == "." else plain


def parse_value(value: str, default: Folder = Folder.INPUT) -> FileName | None:
    """What a loader's input names: `x.png`, `sub/x.png`, `x.png [output]`; None for what is no name."""
    text, folder = annotated(value)
    path = inner_path(text)
    return file_name(folder or default, path) if path else None


def file_name(folder: Folder, path: str) -> FileName:
    """The file at a plain path below the folder."""
    subfolder, _, name = path.rpartition("/")
    return FileName(folder, subfolder, name)


def parse_new(folder: Folder, subfolder: str, name: str) -> FileName | None:
    """The name of a file that is uploaded; None for one that leads elsewhere, as it is or decoded, or is too odd.

    A client may percent-encode (`a%20b.png`); such a name stays as it came.
    """
    inside = inner_path(subfolder)
    if inside is None or _leads_out(subfolder) or _leads_out(name):
        return None
    bare = name.replace("\\", "")  # aiohttp reads a quoted pair: `a\b.png` is ab.png
    parts = [*(inside.split("/") if inside else ()), bare]
    sound = "/" not in bare and all(_is_sound(part) for part in parts)
    short = len("/".join(parts).encode()) <= PATH_BYTES if sound else False
    return FileName(folder, inside, bare) if short else None


def numbered(name: str, number: int) -> str:
    """What ComfyUI calls other content of the same name: `x.png`, then `x (1).png`, then `x (2).png`."""
    if number == 0:
        return name
    stem, suffix = posixpath.splitext(name)
    return f"{stem} ({number}){suffix}"


def number_in(name: str, wanted: str) -> int | None:
    """The number under which `numbered` makes `name` of `wanted`; None where it makes it of none."""
    stem, suffix = posixpath.splitext(wanted)
    found = _NUMBER.fullmatch(name.removeprefix(stem).removesuffix(suffix))
    number = int(found[1] or 0) if found else 0
    return number if numbered(wanted, number) == name else None


def _leads_out(text: str) -> bool:
    """Whether it would lead elsewhere for somebody who decodes it, or takes look-alikes for slashes and dots."""
    for _ in range(_DECODED_AT_MOST + 1):
        if inner_path(unicodedata.normalize("NFKC", text)) is None:
            return True
        text = urllib.parse.unquote(text)
    return False


def _is_sound(part: str) -> bool:
    if part.strip(". ") == "" or part[-1] in ". " or _ENDS_ANNOTATED.search(part):
        return False
    return len(part.encode()) <= PART_BYTES and not any(_is_odd(char) for char in part)


def _is_odd(char: str) -> bool:
    return char in _TURNING or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def _storable(text: str) -> bool:
    """UTF-8 without NUL, as PostgreSQL keeps it; surrogates cannot be encoded."""
    try:
        return len(text.encode()) <= PATH_BYTES and "\0" not in text
    except UnicodeEncodeError:
        return False
