"""`./run chaos [--jobs N] [--minutes M] [--seed S] [--json] [--write-docs]`."""

import argparse
import asyncio
import json
import random
import signal
import sys
from pathlib import Path
from shutil import rmtree

import uvloop
from rich.console import Console

from atelier.kit import clock, log
from tools.chaos import page
from tools.chaos.deck import KINDS
from tools.chaos.judging import judged
from tools.chaos.plan import Plan
from tools.chaos.processes import NotStarted
from tools.chaos.report import breaks, report, tables
from tools.chaos.running import Run, Say, run
from tools.chaos.site import new_folder

PLAIN_EVERY = 10.0


def main() -> int:
    """0 when every promise held, 1 when one was broken, 130 after Ctrl-C."""
    asked = _arguments()
    plan = Plan(seed=asked.seed, jobs=asked.jobs, minutes=asked.minutes, only=tuple(asked.only or ()))
    console = Console(stderr=True, highlight=False)
    log.configure("critical")  # PostgreSQL is killed on purpose: what our own pool says of it is no news
    console.print(f"seed {plan.seed}: {plan.jobs} jobs, at most {plan.minutes:g} minutes")
    folder = new_folder()
    try:
        found = _found(plan, folder, console)
    except NotStarted as reason:
        console.print(f"the run could not begin: {reason}\nlogs and folders: {folder}", markup=False)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        rmtree(folder, ignore_errors=True)
        console.print("stopped: everything that was started is gone")
        return 130
    document = report(found, judged(found))
    _show(document, as_json=asked.json)
    for broken in breaks(document):
        console.print(f"broken: {broken}", markup=False, soft_wrap=True)
    if asked.write_docs:
        page.write(document)
    if document["held"] and not asked.keep:
        rmtree(folder, ignore_errors=True)
    else:
        console.print(f"logs and folders: {folder}")
    return 0 if document["held"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000, help="how many jobs are submitted (1000)")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long it may take at most (15)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="repeats a run")  # noqa: S311
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--write-docs", action="store_true", help=f"refresh the table in {page.PAGE.name}")
    parser.add_argument("--only", nargs="+", choices=tuple(KINDS), metavar="DEED", help="only these deeds")
    parser.add_argument("--keep", action="store_true", help="keep logs and folders also of a run that went well")
    return parser.parse_args()


def _found(plan: Plan, folder: Path, console: Console) -> Run:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, console.status("") as status:
        return runner.run(_until_stopped(plan, folder, _say(console, status.update)))


async def _until_stopped(plan: Plan, folder: Path, say: Say) -> Run:
    """SIGTERM ends it as Ctrl-C does: everything is stopped first."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(plan, folder, say)


def _say(console: Console, update: Say) -> Say:
    """A line that moves; where there is no terminal, one now and then."""
    if console.is_terminal:
        return update
    said_at = float("-inf")

    def say(sentence: str) -> None:
        nonlocal said_at
        if clock.monotonic() - said_at >= PLAIN_EVERY:
            said_at = clock.monotonic()
            console.print(sentence, markup=False, soft_wrap=True)

    return say


def _show(document: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    console = Console(highlight=False)
    for table in tables(document):
        console.print(table)


if __name__ == "__main__":
    sys.exit(main())
