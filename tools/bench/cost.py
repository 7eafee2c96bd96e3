"""What Atelier costs beside the very servers that it drives: the section that a single server's owner reads."""

import asyncio

import uvloop

from tools.bench import page
from tools.bench.measuring import measure
from tools.bench.plan import FULL, QUICK
from tools.bench.report import report, table
from tools.bench.section import Answer, Asked


def cost(asked: Asked) -> Answer:
    """Good when no job was wrongly reported."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(measure(QUICK if asked.quick else FULL, asked.say))
    found = report(measured, quick=asked.quick)
    if asked.write_docs:
        page.write(page.COST, page.spelled(found))
    return Answer(found, [table(found)], good=not found["wrong"]["jobs"])
