"""`./run bench native`: what a client of the native API pays, and how many sockets cost how much."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tools.bench import page
from tools.bench.native import report
from tools.bench.native.crowd import crowds
from tools.bench.native.plan import FULL, QUICK, Plan
from tools.bench.native.roundtrip import round_trips
from tools.bench.report import about
from tools.bench.section import Answer, Asked, Say

MARK = "native"


def measured(plan: Plan, folder: Path, say: Say) -> dict[str, Any]:
    """The figures. PostgreSQL may have to run as another user, so `folder` lets others through."""
    folder.chmod(0o755)
    return asyncio.run(_measured(plan, folder, say))


async def _measured(plan: Plan, folder: Path, say: Say) -> dict[str, Any]:
    trips = await round_trips(plan, folder, say)
    return report.as_json(plan, trips, await crowds(plan.crowd, folder, say))


def native(asked: Asked) -> Answer:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        found = about(quick=asked.quick) | measured(QUICK if asked.quick else FULL, Path(folder), asked.say)
    if asked.write_docs:
        page.write(MARK, report.spelled(found))
    return Answer(found, report.tables(found), good=not found["wrong"])
