"""Results go to standard output: a table for people, JSON for scripts."""

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from atelier.kit.clock import rfc3339

PLAIN_WIDTH = 200
LONGEST_PIECE = 36


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
            return json.dumps(value, default=_plain)
        case _:
            return str(value)


def _plain(value: object) -> str:
    return rfc3339(value) if isinstance(value, dt.datetime) else str(value)
