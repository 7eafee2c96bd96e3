"""The same trace once on real processes: simulated servers that load and run for real, driven by a whole Atelier.

Everything is a sixth as long as in the simulation's usual traces. A server's first load of a model takes `FIRST`,
a later one what the simulated server makes of it (models come back from RAM); the simulation is told the same.
"""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import functools
import itertools
import statistics
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from atelier.kit import clock
from atelier.simulator.memory import SWAP_SHARE
from tools.bench import graphs, processes
from tools.bench.accepting import make_keys
from tools.bench.direct import run_of
from tools.bench.processes import Started
from tools.bench.scheduling.cases import SEED
from tools.bench.scheduling.engine import run
from tools.bench.scheduling.figures import Figures, figures
from tools.bench.scheduling.machines import Costs
from tools.bench.scheduling.ours import Atelier as Simulated
from tools.bench.scheduling.trace import MODELS, Crowd, Job, Phase, Work, arrivals, model_name
from tools.bench.through import Atelier, session

SERVERS = 8
RUN = 0.5
STEPS = 2
FIRST = 2.38
COSTS = Costs(swap=FIRST, again=FIRST * SWAP_SHARE, lanes=1)
VRAM_GB = 9.0
"""Room for one of the simulated servers' checkpoints (4.9 to 8.1 GiB)."""

PHASES = (Phase(8, 0.5), Phase(16, 1.2), Phase(6, 0.3), Phase(20, 1.2))
ACCOUNTS = 4
AGREES_WITHIN = 0.15
LEAD_SECONDS = 1.0
END_SECONDS = 300.0
POLL_SECONDS = 0.5
_ENDS = frozenset({"succeeded", "failed", "canceled", "expired"})


@dataclass(frozen=True, slots=True)
class Played:
    """What came of the trace on servers; seconds. `run`: what a run with its model loaded took on average."""

    makespan: float
    p50: float
    swaps: int
    run: float


@dataclass(frozen=True, slots=True)
class Compared:
    """`simulated` with the times that were asked for, `told` with the run time that the servers then showed."""

    played: Played
    simulated: Figures
    told: Figures

    @property
    def apart(self) -> float:
        """By which share the makespan differs from the simulated one."""
        return abs(self.played.makespan / self.simulated.makespan - 1)

    @property
    def apart_told(self) -> float:
        """The same beside the simulation that was told how long runs took here."""
        return abs(self.played.makespan / self.told.makespan - 1)


def compared(say: Callable[[str], None]) -> Compared:
    """Run the trace on servers, and simulate it."""
    jobs = arrivals(SEED, SERVERS, PHASES, Crowd(ACCOUNTS), Work(RUN, 0.0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        played = runner.run(_played(jobs, say))
    return Compared(played, _simulated(jobs, RUN), _simulated(jobs, played.run))


def _simulated(jobs: Sequence[Job], seconds: float) -> Figures:
    longer = [dataclasses.replace(job, run=seconds) for job in jobs]
    return figures(longer, run(longer, SERVERS, COSTS, functools.partial(Simulated, run=seconds)), COSTS)


async def _played(jobs: Sequence[Job], say: Callable[[str], None]) -> Played:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o755)  # PostgreSQL may have to run as another user than root
        say(f"starting {SERVERS} servers and the product")
        async with _stage(folder) as stage:
            say(f"{len(jobs)} jobs on {SERVERS} servers")
            began = clock.utcnow() + dt.timedelta(seconds=LEAD_SECONDS)
            ended = await _asked(jobs, stage.callers)
            fleet = [await _shown(stage, url) for url in stage.servers]
    waits = sorted(_after(began, job["started_at"]) - asked.at for asked, job in zip(jobs, ended, strict=True))
    warm = [later.seconds for each in fleet for one, later in itertools.pairwise(each) if one.lane == later.lane]
    return Played(
        makespan=max(_after(began, job["completed_at"]) for job in ended),
        p50=waits[len(waits) // 2],
        swaps=sum(1 + sum(one.lane != later.lane for one, later in itertools.pairwise(each)) for each in fleet),
        run=statistics.fmean(warm),
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    """A caller for each account, and the addresses of the servers."""

    callers: Sequence[Atelier]
    servers: Sequence[str]


@dataclass(frozen=True, slots=True, order=True)
class _Shown:
    """A run as its server's history has it."""

    begin: float
    seconds: float
    lane: str


async def _shown(stage: _Stage, url: str) -> list[_Shown]:
    """In the order in which they ran."""
    async with stage.callers[0].http.get(f"{url}/history") as answer:
        entries: list[dict[str, Any]] = list((await answer.json(content_type=None)).values())
    return sorted(
        _Shown(begin / 1000, (end - begin) / 1000, entry["prompt"][2]["1"]["inputs"]["ckpt_name"])
        for entry in entries
        for begin, end in [run_of(entry["status"]["messages"])]
    )


@contextlib.asynccontextmanager
async def _stage(folder: Path) -> AsyncGenerator[_Stage]:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(_server(folder / f"server-{one}")) for one in range(SERVERS)]
        product = await stack.enter_async_context(processes.product(folder / "state", servers))
        http = await stack.enter_async_context(session())
        keys = await make_keys(folder / "state", ACCOUNTS)
        callers = [Atelier(http, product.url, key) for key in keys]
        yield _Stage(callers, [server.url for server in servers])


@contextlib.asynccontextmanager
async def _server(folder: Path) -> AsyncGenerator[Started]:
    checkpoints = [word for number in range(MODELS) for word in ("--checkpoint", model_name(number))]
    words = (
        *("--port", "0", "--directory", str(folder), "--step-seconds", str(RUN / STEPS)),
        *("--load-seconds", str(FIRST), "--vram-gb", str(VRAM_GB), *checkpoints),
    )
    async with processes.role("simulate", "--json", "--with-parent", *words) as started:
        yield started


async def _asked(jobs: Sequence[Job], callers: Sequence[Atelier]) -> list[dict[str, Any]]:
    """Ask for each job at its time; the jobs as they ended, in the same order."""
    begin = clock.monotonic() + LEAD_SECONDS

    async def submitted(job: Job) -> dict[str, Any]:
        await asyncio.sleep(max(begin + job.at - clock.monotonic(), 0.0))
        return await callers[job.account].submit(graphs.of_model(job.lane, STEPS))

    async with asyncio.timeout(END_SECONDS):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(submitted(job)) for job in jobs]
        return [await _ended(callers[job.account], task.result()) for job, task in zip(jobs, tasks, strict=True)]


async def _ended(caller: Atelier, job: dict[str, Any]) -> dict[str, Any]:
    """Looked at when all were asked for: who asks all the time would be measured, too."""
    while True:
        async with caller.http.get(job["urls"]["self"], headers=caller.headers) as answer:
            job = await answer.json()
        if job["status"] in _ENDS:
            break
        await asyncio.sleep(POLL_SECONDS)
    if job["status"] != "succeeded":
        raise RuntimeError(f"a job that could only succeed {job['status']}: {job['error']}")
    return job


def _after(began: dt.datetime, told: str) -> float:
    return (dt.datetime.fromisoformat(told) - began).total_seconds()
