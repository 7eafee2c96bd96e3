"""`./run bench [SECTION …] [--quick] [--json FILE] [--write-docs]`; without a section, all of them."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.bench.cost import cost
from tools.bench.fleet.section import ALONE, FLEET
from tools.bench.native.section import native
from tools.bench.pictures.section import pictures
from tools.bench.registry.section import registry
from tools.bench.scheduling.section import scheduling
from tools.bench.section import Answer, Asked, Section

SECTIONS: Mapping[str, Section] = {
    "cost": Section("what a job costs beside a server asked directly", cost),
    "fleet": FLEET,
    "native": Section("what a client of the native API pays, and what open sockets cost", native),
    "pictures": Section("what another format of a picture costs, and what it does to the loop", pictures),
    "registry": Section("what a workflow costs beside its raw graph, a batch, an answer that was there", registry),
    "scheduling": Section("the scheduling policy in a simulated fleet, and once on servers", scheduling),
}

BY_NAME: Mapping[str, Section] = {**SECTIONS, **ALONE}


def main() -> int:
    """0 when everything was measured and nothing went wrong; an aim that was missed is no error."""
    asked = _arguments()
    names: list[str] = asked.section or list(SECTIONS)
    out = Console(highlight=False)
    answers: dict[str, Answer] = {}
    with Console(stderr=True, highlight=False).status("") as status:
        for name in names:
            answers[name] = BY_NAME[name].measure(
                Asked(asked.quick, asked.write_docs, status.update, not asked.no_end_to_end)
            )
            for table in answers[name].shown:
                out.print(table)
    if asked.json is not None:
        asked.json.write_text(json.dumps(_document(answers), indent=2) + "\n")
    return 0 if all(answer.good for answer in answers.values()) else 1


def _arguments() -> argparse.Namespace:
    told = "; ".join(f"{name}: {section.line}" for name, section in BY_NAME.items())
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__, epilog=told)
    parser.add_argument("section", nargs="*", help="what to measure", metavar="SECTION")
    parser.add_argument("--quick", action="store_true", help="for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--write-docs", action="store_true", help="refresh the tables in the docs")
    parser.add_argument("--no-end-to-end", action="store_true", help="scheduling: only the simulation")
    asked = parser.parse_args()
    if odd := [name for name in asked.section if name not in BY_NAME]:
        parser.error(f"there is no section {odd[0]!r}: there are {', '.join(BY_NAME)}")
    return asked


def _document(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """The figures of the cost stand at the top, as they always did; each other section has its name."""
    document = dict(answers["cost"].found) if "cost" in answers else {}
    return document | {name: answer.found for name, answer in answers.items() if name != "cost"}


if __name__ == "__main__":
    sys.exit(main())
