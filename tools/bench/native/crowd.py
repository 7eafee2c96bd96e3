"""Many open sockets while jobs run: how long events are on their way to clients, and what a socket needs."""

import asyncio
import contextlib
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types

from tools.bench.graphs import of_model
from tools.bench.native.plan import Crowd
from tools.bench.native.product import WAYS, product
from tools.bench.native.roundtrip import DIRECT
from tools.bench.native.stamping import STAMP
from tools.bench.processes import role
from tools.bench.section import Say
from tools.bench.through import session

MODEL = "simulated_v1.safetensors"
PROGRESS, STATE = '{"type": "progress",', '{"type": "progress_state",'
_STAMP = re.compile(f'"{STAMP}": ([0-9.]+)')
WAIT_SECONDS = 300.0
SETTLE_SECONDS = 2.0
ONCE = ("execution_start", "execution_success", "the end")
"""What each socket must hear of its prompt, and hear once."""


@dataclass(slots=True)
class Seen:
    """`millis` from server to client, by event and socket; `kib` of the API process for each socket.

    `cpu` is the share of one core that the API process took while the jobs ran.
    """

    way: str
    millis: list[float] = field(default_factory=list[float])
    sockets: int = 0
    kib: float = 0.0
    cpu: float = 0.0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """Where it is asked for, and the address of the sockets that hear of it."""

    url: str
    headers: dict[str, str]
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    prompt_id: str = field(default_factory=lambda: str(uuid.uuid4()))


async def crowds(plan: Crowd, folder: Path, say: Say) -> list[Seen]:
    """One socket for each job directly, then all sockets through Atelier in one process, and apart."""
    found: list[Seen] = []
    async with _farm(folder / "crowd-direct", plan) as urls:
        say(f"{plan.jobs} jobs directly")
        found.append(await _watched(DIRECT, plan, [Job(url, {}) for url in urls], 1, None))
    for way in WAYS:
        say(f"{plan.sockets} sockets, {plan.jobs} jobs, {way}")
        async with (
            _farm(folder / f"crowd-{way}-farm", plan) as urls,
            product(way, folder / f"crowd-{way}", urls, plan.accounts) as made,
        ):
            keys = [made.keys[number % plan.accounts] for number in range(plan.jobs)]
            jobs = [Job(made.api.url, {"Authorization": f"Bearer {key}"}) for key in keys]
            await asyncio.sleep(SETTLE_SECONDS)
            found.append(await _watched(way, plan, jobs, plan.sockets // plan.jobs, psutil.Process(made.api.pid)))
    return found


@contextlib.asynccontextmanager
async def _farm(folder: Path, plan: Crowd) -> AsyncGenerator[list[str]]:
    words = (str(plan.jobs), str(folder), str(plan.step))
    async with role(*words, module="tools.bench.native.stamping") as started:
        yield started.url.split(",")


async def _watched(way: str, plan: Crowd, jobs: Sequence[Job], each: int, api: psutil.Process | None) -> Seen:
    seen = Seen(way)
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(session())
        await _warm_up(http, jobs)
        before = api.memory_info().rss if api else 0
        sockets = [(job, await _open(stack, http, job)) for job in jobs for _ in range(each)]
        seen.sockets = len(sockets)
        await asyncio.sleep(SETTLE_SECONDS)
        seen.kib = (api.memory_info().rss - before) / 1024 / len(sockets) if api else 0.0
        used, began = _used(api), time.perf_counter()
        async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as group:
            for job, socket in sockets:
                group.create_task(_listen(socket, job, seen))
            for job in jobs:
                await _post(http, job, plan.steps)
                await asyncio.sleep(plan.step / plan.jobs)  # so that steps do not end all at one moment
        seen.cpu = (_used(api) - used) / (time.perf_counter() - began)
    return seen


async def _warm_up(http: aiohttp.ClientSession, jobs: Sequence[Job]) -> None:
    """Accounts, statements and models are known when it counts."""
    for job in jobs[:: max(len(jobs) // 10, 1)]:
        await _post(http, Job(job.url, job.headers), 1)
    await asyncio.sleep(SETTLE_SECONDS)


async def _open(
    stack: contextlib.AsyncExitStack, http: aiohttp.ClientSession, job: Job
) -> aiohttp.ClientWebSocketResponse:
    opened = http.ws_connect(f"{job.url}/ws", params={"clientId": job.client_id}, headers=job.headers)
    socket = await stack.enter_async_context(opened)
    await socket.receive(timeout=WAIT_SECONDS)
    return socket


async def _post(http: aiohttp.ClientSession, job: Job, steps: int) -> None:
    body = {"prompt": of_model(MODEL, steps), "prompt_id": job.prompt_id, "client_id": job.client_id}
    async with http.post(f"{job.url}/prompt", json=body, headers=job.headers) as answer:
        answer.raise_for_status()


async def _listen(socket: aiohttp.ClientWebSocketResponse, job: Job, seen: Seen) -> None:
    """Until the end of its prompt; what is missing, twice or another's is wrong.

    Of the many messages only the stamp is looked for: reading all of them would measure the reader.
    """
    heard: Counter[str] = Counter()
    while not heard["the end"]:
        text = str((await socket.receive()).data)
        if text.startswith(PROGRESS):
            seen.millis.append((time.time() - float(_STAMP.findall(text)[0])) * 1000)
            heard["another's"] += job.prompt_id not in text
        elif not text.startswith(STATE):
            message = json.loads(text)
            ended = message["type"] == "executing" and message["data"]["node"] is None
            heard["the end" if ended else message["type"]] += 1
    seen.wrong += heard["another's"] > 0 or any(heard[what] != 1 for what in ONCE)


def _used(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)
