"""Each section's tables in the docs lie between two marks and are written by the command that measured them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.report import CPU_TITLE, ROOT, cost_rows, rows

PAGE = ROOT / "docs" / "benchmarks.md"
COST = "figures"


def write(mark: str, text: str, page: Path = PAGE) -> None:
    """Put this Markdown where the last stood, between `<!-- mark: begin -->` and `<!-- mark: end -->`."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def spelled(found: Mapping[str, Any]) -> str:
    """The figures as Markdown, with the day, the machine and the versions."""
    versions = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    parts = (
        f"{measured(found)} {versions}.",
        table(("", "directly", "through Atelier", "aim"), rows(found)),
        table((CPU_TITLE, "directly", "through Atelier", "memory"), cost_rows(found)),
    )
    return "\n\n".join(parts)


def measured(found: Mapping[str, Any]) -> str:
    """When, at which commit, how thoroughly and on what machine, from `report.about`."""
    kind = "a quick run" if found["quick"] else "a full run"
    return f"Measured {found['date']} at {found['commit']}, {kind}, on {found['machine']['words']}."


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
