"""The whole run: servers, product and client started, every figure taken in turns, everything stopped."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench import accepting, direct, graphs, processes, sdk
from tools.bench.graphs import Graph
from tools.bench.plan import Plan
from tools.bench.processes import Memory, Started, Usage
from tools.bench.through import Atelier, session
from tools.bench.turns import Result, Span, Way, turn

Say = Callable[[str], None]


@dataclass
class Measured:
    """Every result by its name, and the memory of each group of processes after the last job."""

    results: dict[str, Result] = field(default_factory=dict[str, Result])
    memory: dict[str, Memory] = field(default_factory=dict[str, Memory])

    def result(self, name: str) -> Result:
        return self.results.setdefault(name, Result(name))


@dataclass
class Stage:
    """What stands while jobs are measured."""

    plan: Plan
    say: Say
    servers: Sequence[Started]
    atelier: Atelier
    usage: Usage
    measured: Measured

    async def directly(self, name: str, make: Callable[[], Graph], count: int, in_flight: int) -> None:
        async with direct.connected([each.url for each in self.servers]) as way:
            await self._turn(name, way.picture, make, count, in_flight)

    async def through(self, name: str, way: Way, make: Callable[[], Graph], count: int, in_flight: int) -> None:
        await self._turn(name, way, make, count, in_flight)

    async def _turn(self, name: str, way: Way, make: Callable[[], Graph], count: int, in_flight: int) -> None:
        result = self.measured.result(name)
        span = await turn(result, way, make, count, in_flight=in_flight, usage=self.usage)
        if in_flight > 1:
            result.gaps += await self._gaps(span)

    async def _gaps(self, span: Span) -> list[float]:
        return [gap for each in self.servers for gap in await direct.gaps(each.url, span.began, span.ended)]


async def measure(plan: Plan, say: Say) -> Measured:
    """All figures. Everything that it started is stopped when it returns or raises."""
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o755)  # PostgreSQL may have to run as another user than root
        state = folder / "instant"
        say("starting two servers and the product")
        async with _stage(plan, say, state, 0.0, measured) as stage:
            await _instant(stage)
        say("starting two slower servers and the product")
        async with _stage(plan, say, folder / "stepped", plan.step_seconds, measured) as stage:
            await _many_at_once(stage, "stepped", graphs.small, plan.stepped, max(plan.rounds // 2, 1))
        await _accepting(plan, say, state, measured)
    return measured


async def _instant(stage: Stage) -> None:
    """Everything that is measured with servers whose steps take no time."""
    plan = stage.plan
    await _one_at_a_time(stage)
    await _many_at_once(stage, "plain", graphs.plain, plan.plain, plan.rounds)
    stage.measured.memory = stage.usage.memory()
    await _many_at_once(stage, "instant", graphs.usual, plan.instant, max(plan.rounds // 2, 1))
    stage.say("the official SDK")
    run, events = await sdk.asked(stage.atelier, plan.sdk)
    stage.measured.results |= {"sdk run": run, "sdk events": events}


@contextlib.asynccontextmanager
async def _stage(
    plan: Plan, say: Say, state: Path, step_seconds: float, measured: Measured
) -> AsyncGenerator[Stage]:
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(processes.server(state.with_suffix(f".{number}"), step_seconds))
            for number in (1, 2)
        ]
        product = await stack.enter_async_context(processes.product(state, servers))
        usage = Usage(state, atelier=[product.pid], servers=[each.pid for each in servers], client=[os.getpid()])
        http = await stack.enter_async_context(session())
        [key] = await accepting.make_keys(state, 1)
        stage = Stage(plan, say, servers, Atelier(http, product.url, key), usage, measured)
        await _warm_up(stage)
        yield stage


async def _warm_up(stage: Stage) -> None:
    """Connections, prepared statements, caches and measured run times; none of it is counted."""
    counted, stage.measured = stage.measured, Measured()
    for make, count in ((graphs.plain, stage.plan.warm_up), (graphs.usual, 8), (graphs.small, 8)):
        await stage.directly("warm", make, count, 4)
        await stage.through("warm", stage.atelier.by_polling, make, count, 4)
        await stage.through("warm", stage.atelier.by_events, make, count, 4)
    stage.measured = counted


async def _one_at_a_time(stage: Stage) -> None:
    plan, atelier = stage.plan, stage.atelier
    for number in range(plan.rounds):
        stage.say(f"one job at a time, round {number + 1} of {plan.rounds}")
        await stage.directly("single direct", graphs.plain, plan.singles, 1)
        await stage.through("single polled", atelier.by_polling, graphs.plain, plan.singles, 1)
        await stage.through("single events", atelier.by_events, graphs.plain, plan.singles, 1)


async def _many_at_once(stage: Stage, name: str, make: Callable[[], Graph], count: int, rounds: int) -> None:
    plan, atelier = stage.plan, stage.atelier
    for number in range(rounds):
        stage.say(f"{plan.in_flight} {name} jobs in flight, round {number + 1} of {rounds}")
        await stage.directly(f"{name} direct", make, count, plan.in_flight)
        await stage.through(f"{name} events", atelier.by_events, make, count, plan.in_flight)


async def _accepting(plan: Plan, say: Say, state: Path, measured: Measured) -> None:
    """With the fleet gone from sight: its inventories are known, so every graph is judged, and none is run."""
    async with processes.api_alone(state) as api, session() as http:
        keys = await accepting.make_keys(state, plan.accounts)
        callers = [Atelier(http, api.url, key) for key in keys]
        usage = Usage(state, api=[api.pid], client=[os.getpid()])
        await accepting.accepted(Result("warm"), callers, clients=plan.posters, seconds=1.0, usage=usage)
        for name, some in (("accepted", callers), ("accepted one account", callers[:1])):
            say(f"submits alone, {len(some)} account{'s' if len(some) > 1 else ''}")
            await accepting.accepted(
                measured.result(name), some, clients=plan.posters, seconds=plan.posting, usage=usage
            )
