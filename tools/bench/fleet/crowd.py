"""What a dispatcher needs for many servers: its memory beside that of one with two, and its CPU while all idle."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from tools.bench.fleet.stage import Stage, staged
from tools.bench.ground import fleet_known, register
from tools.bench.processes import Memory, Started, memory_of

FEW = 2
SETTLE_SECONDS = 2.0
STEP_SECONDS = 0.2
JOBS = 2
"""For each server, to see what it needs when it has worked."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Footprint:
    """A dispatcher with `servers`, idle and after work. `core` is the share of one core while all are idle."""

    servers: int
    idle: Memory
    worked: Memory
    core: float


@dataclass(frozen=True, slots=True)
class Crowd:
    few: Footprint
    many: Footprint
    wrong: int


async def crowd(count: int, seconds: float, folder: Path, say: Say) -> Crowd:
    """A dispatcher of its own for two of the servers, then another one for all."""
    async with staged(folder, count, STEP_SECONDS, known=FEW) as stage:
        say(f"a dispatcher with {FEW} servers")
        few = await _footprint(stage, FEW, seconds)
        await register(stage.database, stage.servers)
        say(f"a dispatcher with {count} servers")
        many = await _footprint(stage, count, seconds)
        wrong = await stage.count("SELECT count(*) FROM jobs WHERE state <> 'succeeded'")
    return Crowd(few, many, wrong)


async def _footprint(stage: Stage, servers: int, seconds: float) -> Footprint:
    async with stage.dispatcher() as started:
        await fleet_known(stage.database, servers)
        await asyncio.sleep(SETTLE_SECONDS)
        core = await _busy(started, seconds)
        idle = memory_of([psutil.Process(started.pid)])
        await stage.submit(servers * JOBS)
        await stage.ended()
        return Footprint(servers, idle, memory_of([psutil.Process(started.pid)]), core)


async def _busy(started: Started, seconds: float) -> float:
    """Share of one core over so many seconds."""
    process = psutil.Process(started.pid)
    before = process.cpu_times()
    await asyncio.sleep(seconds)
    after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system) / seconds
