"""One run from the first start to the last stop: users and weather together, then the verdict."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atelier.kit.background import background
from tools.bench.through import session
from tools.load import verdict
from tools.load.client import Client
from tools.load.plan import Plan
from tools.load.stage import Stage, alive, staged
from tools.load.tally import Tally
from tools.load.users import User
from tools.load.verdict import Kept
from tools.load.watch import Curve, Watch

Say = Callable[[str], None]
SAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What was seen. `broken` are the promises that were, in words; empty: all were kept."""

    plan: Plan
    seconds: float
    tally: Tally
    jobs: Mapping[str, Kept]
    curves: Mapping[str, Curve]
    weather: Mapping[str, int]
    broken: list[str] = field(default_factory=list[str])


async def run(plan: Plan, folder: Path, say: Say) -> Ran:
    """The whole run; everything that it started is stopped when it returns or raises."""
    say("starting PostgreSQL, the product and its servers")
    tally = Tally()
    async with staged(plan, folder) as stage:
        began = time.monotonic()
        watch = Watch({name: started.pid for name, started in stage.product.items()})
        async with background() as tasks:
            tasks.start(watch.look())
            tasks.start(stage.weather.blow())
            tasks.start(_tell(plan, tally, watch, stage, say))
            await _use(plan, stage, tally, began + plan.seconds)
        seconds = time.monotonic() - began
        jobs = await verdict.kept(stage.database)
        living = {name: alive(started) for name, started in stage.product.items()}
    broken = [*tally.wrong, *verdict.lost(tally, jobs), *verdict.grown(plan, watch.curves), *verdict.died(living)]
    return Ran(plan, seconds, tally, jobs, watch.curves, stage.weather.happened, broken)


async def _use(plan: Plan, stage: Stage, tally: Tally, until: float) -> None:
    """All users at once, until each has brought to its end what it began."""
    async with session() as http, asyncio.TaskGroup() as group:
        for number in range(plan.users):
            api, key = stage.apis[number % len(stage.apis)], stage.keys[number % len(stage.keys)]
            chance = random.Random(f"{plan.seed}-{number}")  # noqa: S311 - the seed is the point
            client = Client(http, api, key, tally)
            group.create_task(User(number, plan, client, chance, by_events=chance.random() < 0.5).live(until))


async def _tell(plan: Plan, tally: Tally, watch: Watch, stage: Stage, say: Say) -> None:
    """Where it stands, again and again."""
    began = time.monotonic()
    while True:
        passed = time.monotonic() - began
        done = sum(tally.ended().values())
        sizes = ", ".join(f"{name} {curve.samples[-1].memory:.0f} MiB" for name, curve in watch.curves.items())
        say(
            f"{passed:.0f} of {plan.seconds:.0f} s: {done} jobs ended ({done / max(passed, 1):.1f}/s),"
            f" {tally.open} open, {tally.refused} refused for now, {tally.failures} 5xx,"
            f" {stage.weather.happened.total()} faults; {sizes}"
        )
        await asyncio.sleep(SAY_SECONDS)
