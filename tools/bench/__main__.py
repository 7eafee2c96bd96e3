"""`./run bench [--quick] [--json FILE] [--write-docs]`."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from tools.bench import page
from tools.bench.measuring import measure
from tools.bench.plan import FULL, QUICK
from tools.bench.report import report, table


def main() -> int:
    """0 when everything was measured and no job was wrongly reported."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--write-docs", action="store_true", help=f"refresh the table in {page.PAGE.name}")
    asked = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, console.status("") as status:
        measured = runner.run(measure(QUICK if asked.quick else FULL, status.update))
    found = report(measured, quick=asked.quick)
    Console(highlight=False).print(table(found))
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    if asked.write_docs:
        page.write(found)
    return 1 if found["wrong"]["jobs"] else 0


if __name__ == "__main__":
    sys.exit(main())
