"""A file that a run made has a name of its own among all files of a ComfyUI, although each run writes `_00001_`.

A run's files lie in a folder of its own on its server, so servers count from 1 in each of them. Native clients are
shown names in which the job's position, a number that no other job has, stands where the count stood.
"""

import re
from collections.abc import Mapping
from typing import Any

_COUNTED = re.compile(r"(.*_)(\d{5,})(_?(?:\.[^.]*|-audio\.[^.]*)?)", re.DOTALL)
_REST = r"_?(?:\.[^.]*|-audio\.[^.]*)?"
_FIRST = re.compile(rf".*[_-](\d{{5,18}}){_REST}", re.DOTALL)
_FURTHER = re.compile(rf".*_(\d{{5,18}})-\d{{5,}}{_REST}", re.DOTALL)


def shown_name(name: str, position: int) -> str:
    """`ComfyUI_00001_.png` of the job at 1234 is `ComfyUI_01234_.png`; a second one is `ComfyUI_01234-00002_.png`.

    A name without a count gets the number behind a hyphen: `notes.txt` is `notes-01234.txt`.
    """
    counted = _COUNTED.fullmatch(name)
    if counted is None:
        stem, dot, suffix = name.rpartition(".")
        return f"{stem}-{position:05}.{suffix}" if dot and stem else f"{name}-{position:05}"
    stem, count, rest = counted.groups()
    further = "" if int(count) == 1 else f"-{count}"
    return f"{stem}{position:05}{further}{rest}"


def positions_in(name: str) -> tuple[int, ...]:
    """The positions of jobs whose file this may be, by its shown name; mostly one, empty where it names none."""
    found = (pattern.fullmatch(name) for pattern in (_FURTHER, _FIRST))
    return tuple(dict.fromkeys(int(one[1]) for one in found if one))


def server_name(name: str, position: int) -> str | None:
    """What the server called the file of the job at `position` that is shown as `name`; None if it is not its."""
    counted = re.fullmatch(rf"(.*_){position:05}(?:-(\d{{5,}}))?({_REST})", name, re.DOTALL)
    if counted is not None:
        stem, count, rest = counted.groups()
        return f"{stem}{count or '00001'}{rest}"
    plain = re.fullmatch(rf"(.+)-{position:05}((?:\.[^.]*)?)", name, re.DOTALL)
    return plain[1] + plain[2] if plain else None


def shown_folder(subfolder: str, run_folder: str) -> str:
    """What the graph asked for: `subfolder` as the server says it, without the run's own folder."""
    plain = subfolder.replace("\\", "/").strip("/")
    inside = f"{plain}/".startswith(f"{run_folder}/")
    return plain.removeprefix(run_folder).strip("/") if inside else plain


def shown_item(item: Mapping[str, Any], run_folder: str, position: int) -> dict[str, Any]:
    """A file of an `executed` message or of a history (`filename`, `subfolder`, …) as a client is shown it."""
    return {
        **item,
        "filename": shown_name(str(item.get("filename", "")), position),
        "subfolder": shown_folder(str(item.get("subfolder", "")), run_folder),
    }
