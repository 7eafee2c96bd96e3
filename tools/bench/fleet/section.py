"""The parts of the fleet's section, each also alone by its name."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tools.bench import page
from tools.bench.fleet import report
from tools.bench.fleet.claiming import claiming
from tools.bench.fleet.crowd import crowd
from tools.bench.fleet.plan import FULL, QUICK, Plan
from tools.bench.fleet.throughput import split, used
from tools.bench.report import about
from tools.bench.section import Answer, Asked, Say, Section

Part = Callable[[Plan, Path, Say], Coroutine[Any, Any, Any]]

LINES: Mapping[str, str] = {
    "scaling": "throughput of 1 to 32 servers against the ideal",
    "busy": "share of the time that saturated servers work",
    "claims": "time to claim a job from short and long queues",
    "dispatchers": "two dispatchers against one",
    "memory": "what a dispatcher needs for many servers",
}


async def _scaling(plan: Plan, folder: Path, say: Say) -> list[dict[str, Any]]:
    return [
        report.used_json(await used(asked, folder / f"scaling-{asked.servers}", say)) for asked in plan.scaling
    ]


async def _busy(plan: Plan, folder: Path, say: Say) -> list[dict[str, Any]]:
    return [
        report.used_json(await used(asked, folder / f"busy-{number}", say))
        for number, asked in enumerate(plan.busy)
    ]


async def _claims(plan: Plan, folder: Path, say: Say) -> list[dict[str, Any]]:
    return report.taken_json(await claiming(plan.depths, plan.rounds, plan.claims, folder / "claims", say))


async def _dispatchers(plan: Plan, folder: Path, say: Say) -> dict[str, Any]:
    return report.split_json(await split(plan.split, folder / "dispatchers", say))


async def _memory(plan: Plan, folder: Path, say: Say) -> dict[str, Any]:
    return report.crowd_json(await crowd(plan.crowd, plan.idle, folder / "memory", say))


PARTS: Mapping[str, Part] = {
    "scaling": _scaling,
    "busy": _busy,
    "claims": _claims,
    "dispatchers": _dispatchers,
    "memory": _memory,
}


def measured(names: list[str], plan: Plan, folder: Path, say: Say) -> dict[str, Any]:
    """The document of these parts. PostgreSQL may have to run as another user, so `folder` lets others through."""
    folder.chmod(0o755)
    return {name: asyncio.run(PARTS[name](plan, folder, say)) for name in names}


def wrong(found: Any) -> int:
    """Jobs that ended otherwise than they could, in all of a document."""
    match found:
        case {"wrong": int(count)}:
            return count
        case dict():
            return sum(map(wrong, found.values()))
        case list():
            return sum(map(wrong, found))
        case _:
            return 0


def _answer(names: list[str], asked: Asked) -> Answer:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        parts = measured(names, QUICK if asked.quick else FULL, Path(folder), asked.say)
    found = about(quick=asked.quick) | parts
    if asked.write_docs:
        for name in names:
            page.write(name, report.spelled(about(quick=asked.quick) | {name: parts[name]}))
    return Answer(found, report.tables(found), good=not wrong(parts))


FLEET = Section("all of: " + ", ".join(PARTS), partial(_answer, list(PARTS)))
ALONE: Mapping[str, Section] = {name: Section(line, partial(_answer, [name])) for name, line in LINES.items()}
