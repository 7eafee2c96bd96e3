"""Results go to standard output: a table for people, JSON for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PLAIN_WIDTH = 200


def as_json(value: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(value, default=str, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def rows(found: Sequence[Mapping[str, Any]], *, script: bool, nothing: str) -> None:
    """A table whose columns are the keys of the first row; `script`: a JSON list of the same."""
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

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in found[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False).print(table)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return json.dumps(value, default=str)
        case _:
            return str(value)
