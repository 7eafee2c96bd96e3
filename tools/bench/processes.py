"""Everything that is measured runs as a process of its own, started by its own command and stopped by its id."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from atelier.entry.settings import PREFIX, child_environment, variable

START_SECONDS = 60.0
STOP_SECONDS = 15.0
MIB = 1024 * 1024
NOBODY_IS_REFUSED = {variable("max_queued"): "1000000", variable("max_queued_per_account"): "1000000"}


@dataclass(frozen=True)
class Started:
    pid: int
    url: str


@dataclass(frozen=True)
class Memory:
    """In MiB. `proportional` counts pages that several processes share once among them."""

    resident: float
    proportional: float


@contextlib.asynccontextmanager
async def server(folder: Path, step_seconds: float) -> AsyncGenerator[Started]:
    """A simulated ComfyUI that loads models in no time and sends no previews."""
    words = ("--port", "0", "--directory", str(folder), "--step-seconds", str(step_seconds))
    async with role("simulate", "--json", "--with-parent", *words) as process:
        yield process


@contextlib.asynccontextmanager
async def product(state: Path, servers: Sequence[Started]) -> AsyncGenerator[Started]:
    """`atelier up` over these servers: API and dispatcher in one process, its own PostgreSQL beside it."""
    urls = ",".join(each.url for each in servers)
    words = ("--port", "0", "--state", str(state), "--comfyui", urls)
    async with role("up", "--json", *words) as process:
        yield process


@contextlib.asynccontextmanager
async def api_alone(state: Path) -> AsyncGenerator[Started]:
    """`atelier serve` over the same database: nothing runs what it accepts."""
    async with role("serve", "--port", "0", "--state", str(state)) as process:
        yield process


class Usage:
    """CPU seconds and memory of the named groups of processes."""

    def __init__(self, state: Path, **pids: Sequence[int]) -> None:
        self._state = state
        self._pids = pids

    def cpu(self) -> dict[str, float]:
        """Seconds used so far, user and system together, by group; ended children of PostgreSQL included."""
        used = {name: sum(map(_seconds, map(psutil.Process, pids))) for name, pids in self._pids.items()}
        return used | {"postgresql": sum(map(_seconds, _postgres(self._state)))}

    def memory(self) -> dict[str, Memory]:
        """Each group as it stands now."""
        groups = {name: [psutil.Process(pid) for pid in pids] for name, pids in self._pids.items()}
        return {
            name: memory_of(found) for name, found in (groups | {"postgresql": _postgres(self._state)}).items()
        }


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


def _postgres(state: Path) -> list[psutil.Process]:
    """The postmaster whose data lies in this state folder, and its children."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "-D" in words and any(word.startswith(str(state)) for word in words):
                return [process, *process.children(recursive=True)]
    return []


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def memory_of(processes: Sequence[psutil.Process]) -> Memory:
    """These together, as they stand now."""
    resident = proportional = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = process.memory_full_info()
            resident += found.rss / MIB
            proportional += getattr(found, "pss", found.uss) / MIB
    return Memory(resident, proportional)


@contextlib.asynccontextmanager
async def role(
    *words: str, module: str = "atelier", settings: Mapping[str, str] | None = None, log: Path | None = None
) -> AsyncGenerator[Started]:
    """`python -m MODULE WORDS`, started and ready; stopped at the end, also when it does not want to.

    `settings` without ATELIER_; what it writes to standard error is added to `log`, else shown.
    """
    with contextlib.ExitStack() as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=written.enter_context(log.open("ab")) if log else None,
            env=_environment(settings or {}),
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            address = await _told(process)
        yield Started(process.pid, address)
    finally:
        await _stop(process)


async def _told(process: asyncio.subprocess.Process) -> str:
    """The address that it prints when it is ready: in JSON, or as the last word of a sentence."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    line = (await process.stdout.readline()).decode()
    if not line:
        raise RuntimeError("a process did not start: its own words stand above")
    return str(json.loads(line)["url"]) if line.startswith("{") else line.split()[-1]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of this person's installation; only warnings are logged."""
    kept = {name: value for name, value in child_environment().items() if not _is_setting(name)}
    chosen = {variable(name): value for name, value in settings.items()}
    return kept | NOBODY_IS_REFUSED | {variable("log_level"): "warning"} | chosen


def _is_setting(name: str) -> bool:
    return name.startswith((PREFIX, "COMFY"))
