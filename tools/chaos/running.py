"""One run from its first process to its last: jobs and deeds together, then calm, then everything is looked at."""

import asyncio
import contextlib
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types

from atelier.kit import clock
from atelier.kit.background import background
from tools.chaos import facts
from tools.chaos.acting import Deed, Stage
from tools.chaos.asking import Asker, ServerError
from tools.chaos.clients import Told, serve_all
from tools.chaos.deck import rage
from tools.chaos.facts import Facts
from tools.chaos.leases import LeaseWatch
from tools.chaos.orders import orders
from tools.chaos.pictures import Render, rendered
from tools.chaos.plan import Plan
from tools.chaos.site import APIS, DISPATCHERS, TASKS, Site, site

Say = Callable[[str], None]

ENOUGH_ENDED = 0.97
EMPTY_SECONDS = 90.0
SAY_SECONDS = 0.5


@dataclass(slots=True)
class Run:
    """Everything that was done and seen. `queues`: what servers still held at the end, by server."""

    plan: Plan
    began: dt.datetime
    ended: dt.datetime
    deeds: Sequence[Deed]
    watch: LeaseWatch
    told: Sequence[Told]
    counts: Counter[str]
    errors: Sequence[ServerError]
    complaints: Sequence[str]
    facts: Facts
    renders: Sequence[Render]
    queues: dict[str, int]
    logged: Counter[str]
    database_hurt: Callable[[dt.datetime, dt.datetime], bool]
    stops: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    left_over: list[str] = field(default_factory=list[str])


async def run(plan: Plan, folder: Path, say: Say) -> Run:
    """The whole run, in a `site.new_folder`, which keeps the logs."""
    say("starting PostgreSQL, servers, dispatchers and API processes")
    async with site(plan, folder) as made:
        found = await _play(made, say)
        say("stopping everything in order")
        for name in (*APIS, *DISPATCHERS, TASKS):
            found.stops[name] = await made.fleet.leave(name)
        found.logged = _logged(made)
        started = [process.pid for process in made.fleet.processes.values()]
    found.left_over = await _left_over(started, folder)
    return found


async def _play(made: Site, say: Say) -> Run:
    plan, began = made.plan, clock.utcnow()
    watch = LeaseWatch(made.database)
    stage = Stage(made, watch)
    told: list[Told] = []
    counts, errors = Counter[str](), list[ServerError]()
    askers = [Asker(made.http, made.balancer.url, key, counts, errors) for key in made.keys]
    async with background() as beside:
        beside.start(watch.run())
        beside.start(made.guard())
        beside.start(_tell(stage, told, began, say))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(plan.minutes * 60), asyncio.TaskGroup() as group:
                group.create_task(_calm_in_time(stage, told))
                group.create_task(rage(stage))
                group.create_task(serve_all(askers, orders(plan), told, plan.clients))
        say("looking at what became of it")
        await _restore(made)
        queues = await _emptied(made)
    counts["connections that the balancer passed on"] = made.balancer.passed_on
    counts["connections that nobody took"] = made.balancer.refused
    return Run(
        plan=plan,
        began=began,
        ended=clock.utcnow(),
        deeds=stage.done,
        watch=watch,
        told=told,
        counts=counts,
        errors=errors,
        complaints=made.complaints,
        facts=await facts.read(made.database),
        renders=await asyncio.to_thread(rendered, made.folder, made.servers),
        queues=queues,
        logged=Counter(),
        database_hurt=made.database_was_hurt,
    )


async def _calm_in_time(stage: Stage, told: Sequence[Told]) -> None:
    """Deeds go on while jobs do, but the last jobs, and the last part of the time, are left in peace."""
    plan = stage.site.plan
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(plan.minutes * 60 * plan.rage):
            while sum(one.state is not None for one in told) < plan.jobs * ENOUGH_ENDED:  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.2)
    stage.calm.set()


async def _tell(stage: Stage, told: Sequence[Told], began: dt.datetime, say: Say) -> None:
    """One moving line: how far the jobs are, what was done last."""
    while True:
        ended = sum(one.state is not None for one in told)
        last = next((deed for deed in reversed(stage.done) if deed.target), None)
        doing = "calm" if stage.calm.is_set() else f"last: {last.kind} {last.target}" if last else "nothing yet"
        seconds = (clock.utcnow() - began).total_seconds()
        say(f"{seconds:.0f} s: {ended} of {stage.site.plan.jobs} jobs ended; {len(stage.done)} deeds, {doing}")
        await asyncio.sleep(SAY_SECONDS)


async def _restore(made: Site) -> None:
    """What a deed that was cut off by the time may have left."""
    if not made.postgres.lives():
        await made.postgres.again()
    for way in (*made.ways.values(), made.way_to_database):
        way.hang(hangs=False)
        way.lag, way.times = 0.0, 0
        way.released.set()
    for name in sorted(made.down):
        made.fleet.go_on(name)
        if not made.fleet.lives(name):
            await made.again(name)


async def _emptied(made: Site) -> dict[str, int]:
    """What each server still holds, after the time that strays may take to be found and stopped."""
    held = dict.fromkeys(made.servers, -1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EMPTY_SECONDS):
            while any(held.values()):
                await asyncio.sleep(0.5)
                for name in made.servers:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        held[name] = await made.queue_remaining(name)
    return held


def _logged(made: Site) -> Counter[str]:
    """How often each warning or error stands in the logs of our processes."""
    found = Counter[str]()
    for name in (*DISPATCHERS, *APIS, TASKS):
        for line in made.fleet.log(name).read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if said.get("level") in {"warning", "error", "critical"}:
                    found[str(said.get("event"))] += 1
    return found


async def _left_over(started: Sequence[int], folder: Path) -> list[str]:
    """Processes of ours that outlived the run: children, and whoever works in its folder."""
    await asyncio.sleep(0.5)
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if process.pid in started or str(folder) in words:
                found.append(f"{process.pid} {words[:200]}")
    return found
