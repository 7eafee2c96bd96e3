"""The table in docs/reliability.md lies between two marks and is written by the run that it tells of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.chaos.report import day, deed_rows, outcome_rows, promise_rows

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


def write(found: Mapping[str, Any]) -> None:
    """Put this run where the last one stood."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{spelled(found)}\n\n{END}{after}")


def spelled(found: Mapping[str, Any]) -> str:
    """The three tables as Markdown, with the command that repeats the run."""
    jobs = sum(found["jobs"].values())
    told = (
        f"Run on {day(found)}: {jobs} jobs in {found['seconds']:.0f} s. `./run chaos --jobs {jobs} --seed"
        f" {found['seed']}` does the same deeds in the same order."
    )
    parts = (
        told,
        _table(("promise", "looked at", "held"), promise_rows(found)),
        _table(("what was done", "times"), deed_rows(found)),
        _table(("what came of it", ""), outcome_rows(found)),
    )
    return "\n\n".join(parts)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
