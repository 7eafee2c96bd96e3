"""Results go to standard output: a table for people, JSON for scripts."""

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from atelier.kit.clock import rfc3339

PLAIN_WIDTH = 200
LONGEST_PIECE = 36
TENTHS_BELOW = 10

_SPANS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def as_json(value: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def rows(found: Sequence[Mapping[str, Any]], *, script: bool, nothing: str) -> None:
    """A table whose columns are the keys of the first row, less those that are empty everywhere.

    `script`: a JSON list of the same, with every key.
    """
    if script:
        as_json(list(found))
    elif found:
        _table(found)
    else:
        sys.stdout.write(f"{nothing}\n")


def facts(found: Mapping[str, Any]) -> None:
    """What is known of one thing, a line each; what is empty is left out."""
    shown = {name.replace("_", " "): _cell(value) for name, value in found.items() if _cell(value)}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")
    sys.stdout.flush()


def span(seconds: float | None) -> str:
    """A duration as people say it: `0.4 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return ""
    if seconds < TENTHS_BELOW:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part, part_name in _SPANS:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def size(count: float) -> str:
    """Bytes as people say them: `0 B`, `350 MiB`, `23.9 GiB`."""
    for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 2**power:
            value = count / 2**power
            return f"{value:.1f} {name}" if value < TENTHS_BELOW * 10 else f"{value:.0f} {name}"
    return f"{count:.0f} B"


def _table(found: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    names = [name for name in found[0] if any(_cell(row[name]) for row in found)]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        head = name.replace("_", " ")
        if any(isinstance(row[name], dt.datetime) for row in found):
            head += " (UTC)"
        cells = [_cell(row[name]) for row in found]
        table.add_column(head, overflow="fold", min_width=_whole_words(cells))
    for row in found:
        table.add_row(*(_cell(row[name]) for name in names))
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False).print(table)


def _whole_words(cells: Sequence[str]) -> int | None:
    """What can be copied (ids, addresses) stays in one piece while a terminal of 80 columns has room for it."""
    longest = max(map(len, cells))
    return longest if longest <= LONGEST_PIECE and not any(" " in cell for cell in cells) else None


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dt.datetime():
            return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
        case dict():
            return json.dumps(value, default=_plain) if value else ""
        case list() | tuple():
            return ", ".join(map(_cell, cast("Sequence[Any]", value)))
        case _:
            return str(value)


def _plain(value: object) -> str:
    return rfc3339(value) if isinstance(value, dt.datetime) else str(value)
