"""The section `scheduling` of the bench: simulate, compare with a real run, draw, and write it down."""

import dataclasses
from typing import Any

from tools.bench import page
from tools.bench.report import ROOT, about
from tools.bench.scheduling import words
from tools.bench.scheduling.cases import Result, cases, judged
from tools.bench.scheduling.endtoend import compared
from tools.bench.scheduling.plot import draw
from tools.bench.section import Answer, Asked

PAGE = ROOT / "docs" / "scheduling.md"
PICTURE = ROOT / "docs" / "scheduling.png"


def scheduling(asked: Asked) -> Answer:
    """Always good: an aim that was missed is no error."""
    results = [judged(case, asked.say) for case in cases(quick=asked.quick)]
    real = compared(asked.say) if asked.end_to_end else None
    judgement = [*words.aims(results), *(words.end_to_end(real) if real else ())]
    measured = about(quick=asked.quick)
    if asked.write_docs:
        page.write("simulation", f"{page.measured(measured)}\n\n{words.spelled(results, judgement)}", PAGE)
        draw(results, PICTURE)
    found: dict[str, Any] = {**measured, "cases": [_found(result) for result in results], "aims": judgement}
    if real is not None:
        found["end_to_end"] = dataclasses.asdict(real)
    return Answer(found, list(words.shown(results, judgement)))


def _found(result: Result) -> dict[str, Any]:
    case = result.case
    named = {"kind": case.kind, "what": case.what, "servers": case.servers, "lanes": case.costs.lanes}
    return named | {rule: dataclasses.asdict(figures) for rule, figures in result.by_rule.items()}
