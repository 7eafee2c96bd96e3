"""`./run bench registry`: what a workflow costs beside its raw graph, a batch, and an answer that was there."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tools.bench import page
from tools.bench.registry import report
from tools.bench.registry.measuring import figures
from tools.bench.registry.plan import FULL, QUICK, Plan
from tools.bench.report import about
from tools.bench.section import Answer, Asked, Say

MARK = "registry"


def measured(plan: Plan, folder: Path, say: Say) -> dict[str, Any]:
    """The figures. PostgreSQL may have to run as another user, so `folder` lets others through."""
    folder.chmod(0o755)
    return report.as_json(plan, asyncio.run(figures(plan, folder, say)))


def registry(asked: Asked) -> Answer:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        found = about(quick=asked.quick) | measured(QUICK if asked.quick else FULL, Path(folder), asked.say)
    if asked.write_docs:
        page.write(MARK, report.spelled(found))
    return Answer(found, report.tables(found), good=not found["wrong"])
