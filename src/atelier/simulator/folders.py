"""Files are read and written inside the server's own three folders and nowhere else."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from atelier.kit import clock

KINDS = ("output", "input", "temp")
DRIVING = "driving.mp4"
"""A video that every simulated server has among its inputs: drawn when it is asked for, as long as is wanted."""

_VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".gif", ".mov")
_ANNOTATION = re.compile(r"^(?P<name>.*?) ?\[(?P<kind>output|input|temp)\]$", re.DOTALL)


class OutsideFolderError(Exception):
    """A prefix leads out of the output folder; the words are the real server's."""

    def __init__(self, wanted: Path, base: Path) -> None:
        common = os.path.commonpath((wanted, base))
        super().__init__(
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {wanted}\n         output_dir: {base}\n         commonpath: {common}"
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as ComfyUI names it on the wire."""

    filename: str
    subfolder: str
    type: str

    def as_json(self) -> dict[str, str]:
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


@dataclass(frozen=True, slots=True)
class Folders:
    """The folder of one server with `output`, `input`, `temp`, `user` in it."""

    root: Path

    def make(self) -> None:
        for kind in (*KINDS, "user"):
            (self.root / kind).mkdir(parents=True, exist_ok=True)

    def base(self, kind: str) -> Path:
        return self.root / kind

    def inside(self, kind: str, subfolder: str, name: str = "") -> Path | None:
        """The path of `subfolder/name` in the folder of that kind, or None if it leads outside."""
        base = self.base(kind)
        path = normal(base / subfolder / name)
        return path if path == base or base in path.parents else None

    def inputs(self) -> list[str]:
        """Files at the top of the input folder, sorted: what LoadImage offers."""
        return sorted(path.name for path in self.base("input").iterdir() if path.is_file())

    def videos(self) -> list[str]:
        """What loaders of videos offer."""
        return [DRIVING, *(name for name in self.inputs() if name.lower().endswith(_VIDEO_SUFFIXES))]

    def folders(self) -> list[str]:
        """Folders below the input folder, sorted."""
        return sorted(path.name for path in self.base("input").iterdir() if path.is_dir())

    def annotated(self, name: str, default: str = "input") -> Path | None:
        """The file that `name [kind]` means (ComfyUI's annotated file path), whether it exists or not."""
        plain, kind = split_annotation(name)
        return self.inside(kind or default, plain)

    def next_save(self, kind: str, prefix: str, size: tuple[int, int], *, tail: str = "_") -> "Saves":
        """Where a saving node with that prefix goes on counting. Raises OutsideFolderError.

        Names are `prefix_00001_.png`, counting on from the highest that is there (as ComfyUI counts); some packs
        leave out the `tail`.
        """
        subfolder, _, stem = _filled(prefix, size).rpartition("/")
        folder = self.inside(kind, subfolder)
        if folder is None:
            raise OutsideFolderError(normal(self.base(kind) / subfolder), self.base(kind))
        folder.mkdir(parents=True, exist_ok=True)
        taken = [_counter(path.name if tail else f"{path.stem}_", stem) for path in folder.iterdir()]
        return Saves(folder, stem, subfolder, kind, max(taken, default=0) + 1, tail)


@dataclass(frozen=True, slots=True)
class Saves:
    """The next free names of one prefix."""

    folder: Path
    stem: str
    subfolder: str
    kind: str
    first: int
    tail: str = "_"

    def place(self, number: int, kind: str = "png") -> tuple[Path, Stored]:
        """The path and the wire name of image `number` (from 0) of the batch; `kind` is the ending."""
        filename = f"{self.stem.replace('%batch_num%', str(number))}_{self.first + number:05}{self.tail}.{kind}"
        return self.folder / filename, Stored(filename, self.subfolder, self.kind)


def is_file(path: Path | None) -> bool:
    """Whether a file is there. A name that no file can have (too long, a null byte) is simply not there."""
    try:
        return path is not None and path.is_file()
    except OSError:
        return False


def split_annotation(name: str) -> tuple[str, str | None]:
    """`a.png [output]` -> (`a.png`, `output`); without an annotation the kind is None."""
    found = _ANNOTATION.match(name)
    return (found["name"], found["kind"]) if found else (name, None)


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal: ComfyUI's way to see that an input file changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def normal(path: Path) -> Path:
    """The path without `..`, by its text alone: links are not followed."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            del parts[max(1, len(parts) - 1) :]
        else:
            parts.append(part)
    return Path(*parts)


def _filled(prefix: str, size: tuple[int, int]) -> str:
    now = clock.utcnow().astimezone()
    values = {
        "%width%": str(size[0]),
        "%height%": str(size[1]),
        "%year%": str(now.year),
        "%month%": f"{now.month:02}",
        "%day%": f"{now.day:02}",
        "%hour%": f"{now.hour:02}",
        "%minute%": f"{now.minute:02}",
        "%second%": f"{now.second:02}",
    }
    for key, value in values.items():
        prefix = prefix.replace(key, value)
    return prefix


def _counter(filename: str, stem: str) -> int:
    if not filename.startswith(f"{stem}_"):
        return 0
    digits = filename[len(stem) + 1 :].split("_", maxsplit=1)[0]
    return int(digits) if digits.isdecimal() else 0
