"""`./run load [--users N] [--minutes M] [--seed S] [--json]`."""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tools.load.plan import Plan
from tools.load.report import report, table
from tools.load.run import Ran, run

LINE_EVERY = 15
"""Of what is said each second, so much is written where nobody watches a terminal."""


def main() -> int:
    """0 when every promise was kept: no 5xx, no lost job, flat memory."""
    asked = _arguments()
    plan = Plan(users=asked.users, seconds=asked.minutes * 60, seed=asked.seed)
    folder = Path(tempfile.mkdtemp(prefix="atelier-load-"))
    folder.chmod(0o755)  # PostgreSQL may have to run as another user than root
    try:
        ran = _run(plan, folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    found = report(ran)
    if asked.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table(found))
    if ran.broken:
        print(f"logs and data of this run are kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _run(plan: Plan, folder: Path) -> Ran:
    console = Console(stderr=True, highlight=False)
    said = 0
    with console.status("") as status:

        def say(line: str) -> None:
            nonlocal said
            if console.is_terminal:
                status.update(line)
            elif said % LINE_EVERY == 0:
                print(line, file=sys.stderr, flush=True)
            said += 1

        return asyncio.run(run(plan, folder, say))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run load", description=__doc__)
    parser.add_argument("--users", type=int, default=100, help="how many users at once (100)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long they stay (5)")
    parser.add_argument("--seed", type=int, default=1, help="repeats what was left to chance (1)")
    parser.add_argument("--json", action="store_true", help="print one document instead of the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
