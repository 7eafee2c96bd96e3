"""The table in docs/benchmarks.md lies between two marks and is written by the command that measured it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tools.bench.report import CPU_TITLE, ROOT, Row, cost_rows, rows

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write(found: Mapping[str, Any]) -> None:
    """Put these figures where the last ones stood."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{spelled(found)}\n\n{END}{after}")


def spelled(found: Mapping[str, Any]) -> str:
    """The figures as Markdown, with the day, the machine and the versions."""
    versions = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    kind = "a quick run" if found["quick"] else "a full run"
    parts = (
        f"Measured {found['date']} at {found['commit']}, {kind}, on {found['machine']['words']}. {versions}.",
        _table(("", "directly", "through Atelier", "aim"), rows(found)),
        _table((CPU_TITLE, "directly", "through Atelier", "memory"), cost_rows(found)),
    )
    return "\n\n".join(parts)


def _table(head: Sequence[str], body: Sequence[Row]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
