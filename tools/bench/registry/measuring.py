"""All is measured on one product of each kind, the ways in turns, so that the machine meets them alike."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from tools.bench import processes
from tools.bench.graphs import plain
from tools.bench.native.product import APART, TOGETHER, Product, product
from tools.bench.processes import MIB
from tools.bench.registry import workflow
from tools.bench.registry.asking import WAYS, Asker, Taken
from tools.bench.registry.plan import Plan
from tools.bench.section import Say
from tools.bench.through import session

KNOWN_SECONDS = 60.0
DRAIN_SECONDS = 900.0
LOOK_SECONDS = 0.01


@dataclass(slots=True)
class Batch:
    """Seconds of the one call; MiB of the API's process before it, at its highest, and when all had run."""

    seconds: float
    accepted: int
    before: float
    highest: float
    after: float
    drained: float


@dataclass(slots=True)
class Figures:
    """`trips` by product and way; `cached`: milliseconds of answers that were there already."""

    trips: dict[tuple[str, str], Taken] = field(default_factory=dict[tuple[str, str], Taken])
    cached: list[float] = field(default_factory=list[float])
    batches: list[Batch] = field(default_factory=list[Batch])
    wrong: int = 0


async def figures(plan: Plan, folder: Path, say: Say) -> Figures:
    found = Figures()
    for name in (TOGETHER, APART):
        say(f"a server and the product, {name}")
        async with (
            processes.server(folder / f"{name}.server", 0.0) as server,
            product(name, folder / name, [server.url], 1) as made,
            session() as http,
        ):
            await workflow.publish(folder / name)
            asker = Asker(http, made.api.url, made.keys[0])
            await _known(asker)
            await _trips(plan, found, name, asker, say)
            if name == APART:
                await _answered_at_once(plan, found, asker, say)
                await _batches(plan, found, made, asker, say)
    found.wrong += sum(taken.wrong for taken in found.trips.values())
    return found


async def _known(asker: Asker) -> None:
    """Until the API has heard of the workflow."""
    async with asyncio.timeout(KNOWN_SECONDS):
        while not await _listed(asker):  # noqa: ASYNC110 - the API is another process
            await asyncio.sleep(0.1)


async def _listed(asker: Asker) -> bool:
    told = await asker.get("/api/v1/workflows")
    return workflow.ID in {one["id"] for one in told["workflows"]}


async def _trips(plan: Plan, found: Figures, name: str, asker: Asker, say: Say) -> None:
    for way in WAYS:
        for _ in range(plan.warm_up):
            await asker.run(way, Taken())
    for number in range(plan.rounds):
        say(f"one job at a time, {name}, round {number + 1} of {plan.rounds}")
        for way in WAYS:
            taken = found.trips.setdefault((name, way), Taken())
            for _ in range(plan.jobs):
                await asker.run(way, taken)


async def _answered_at_once(plan: Plan, found: Figures, asker: Asker, say: Say) -> None:
    """The same question again and again: the first answer is made, the others were there."""
    say("answers that were there already")
    params = workflow.params_of(plain())
    first = await asker.generate(params)
    async with asyncio.timeout(KNOWN_SECONDS):
        path = f"/api/v1/jobs/{first['id']}"
        while (await asker.get(path))["state"] != "succeeded":  # noqa: ASYNC110 - the API is another process
            await asyncio.sleep(0.02)
    for number in range(plan.warm_up + plan.cached):
        began = time.perf_counter()
        told = await asker.generate(params)
        took = (time.perf_counter() - began) * 1000
        found.wrong += not (told["cached"] and told["status"] == "succeeded" and told["outputs"])
        if number >= plan.warm_up:
            found.cached.append(took)


async def _batches(plan: Plan, found: Figures, made: Product, asker: Asker, say: Say) -> None:
    api = psutil.Process(made.api.pid)
    for number in range(plan.batches):
        say(f"{plan.items} items in one call, {number + 1} of {plan.batches}")
        before, watch = _mib(api), _Watch(api)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(watch.look())
            began = time.perf_counter()
            told = await asker.batch(plan.items)
            seconds = time.perf_counter() - began
            looking.cancel()
        drained = await _drained(asker, told["id"])
        accepted = told["total"] - told["counts"]["refused"]
        found.batches.append(Batch(seconds, accepted, before, watch.highest, _mib(api), drained))
        found.wrong += accepted != plan.items


class _Watch:
    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.highest = _mib(process)

    async def look(self) -> None:
        while True:
            self.highest = max(self.highest, _mib(self._process))
            await asyncio.sleep(LOOK_SECONDS)


def _mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / MIB


async def _drained(asker: Asker, batch_id: str) -> float:
    """Seconds until all its jobs have ended."""
    began = time.perf_counter()
    async with asyncio.timeout(DRAIN_SECONDS):
        path = f"/api/v1/batches/{batch_id}?limit=1"
        while (await asker.get(path))["finished_at"] is None:  # noqa: ASYNC110 - the API is another process
            await asyncio.sleep(0.5)
    return time.perf_counter() - began
