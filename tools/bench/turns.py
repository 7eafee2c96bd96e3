"""One turn of one way: so many jobs, so many in flight; times, wrong ends, and the CPU that each process took."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tools.bench.graphs import Graph, is_right
from tools.bench.processes import Usage, spent
from tools.bench.through import WronglyEnded

Way = Callable[[Graph], Awaitable[bytes]]


@dataclass
class Result:
    """All turns of one way together. Milliseconds per job; jobs per second per turn; CPU seconds by group."""

    name: str
    millis: list[float] = field(default_factory=list[float])
    rates: list[float] = field(default_factory=list[float])
    gaps: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])
    cpu: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def jobs(self) -> int:
        return len(self.millis) + len(self.wrong)

    def used(self, cpu: Mapping[str, float]) -> None:
        for name, seconds in cpu.items():
            self.cpu[name] = self.cpu.get(name, 0.0) + seconds


@dataclass(frozen=True)
class Span:
    """When a turn began and ended, in seconds of the wall clock."""

    began: float
    ended: float


async def turn(
    result: Result, way: Way, make: Callable[[], Graph], count: int, *, in_flight: int, usage: Usage
) -> Span:
    """Run `count` jobs and add what was seen to `result`; pictures are looked at when the clock has stopped."""
    graphs = iter([make() for _ in range(count)])
    made: list[tuple[Graph, bytes]] = []

    async def worker() -> None:
        for graph in graphs:
            began = time.perf_counter()
            try:
                picture = await way(graph)
            except (WronglyEnded, TimeoutError) as error:
                result.wrong.append(str(error) or "no end in time")
            else:
                result.millis.append((time.perf_counter() - began) * 1000)
                made.append((graph, picture))

    before, wall, clock = usage.cpu(), time.time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    result.rates.append(count / (time.perf_counter() - clock))
    ended = time.time()
    result.used(spent(before, usage.cpu()))
    result.wrong += ["the picture is not the one asked for" for graph, body in made if not is_right(graph, body)]
    return Span(wall, ended)


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
