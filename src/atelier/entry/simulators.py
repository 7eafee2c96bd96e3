"""Simulated ComfyUI servers as processes of their own: they end with us, also when we are killed."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from atelier.entry.settings import Settings, child_environment
from atelier.entry.state import CLOSED, make_folder
from atelier.fleet.service import Named
from atelier.kit.errors import SetupFailed

START_SECONDS = 20.0
STOP_SECONDS = 3.0
FOLDER = "simulated"


@contextlib.asynccontextmanager
async def simulated(settings: Settings, count: int) -> AsyncGenerator[list[Named]]:
    """Start `count` servers on free ports of the loopback. Their files live in the state folder."""
    if count:
        make_folder(settings.state_dir)
        make_folder(settings.state_dir / FOLDER, CLOSED)
    async with contextlib.AsyncExitStack() as stack:
        started = [await stack.enter_async_context(_one(settings, number)) for number in range(1, count + 1)]
        urls = [await _address(process) for process in started]
        try:
            yield [Named(url, id=f"sim-{number}") for number, url in enumerate(urls, 1)]
        finally:
            for process in started:
                _ask_to_end(process)


@contextlib.asynccontextmanager
async def _one(settings: Settings, number: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "atelier", "simulate", "--json", "--with-parent", "--previews", "--port", "0"),
        *("--directory", str(_folder(settings, number))),
        *("--step-seconds", str(settings.simulate_step), "--load-seconds", str(settings.simulate_load)),
        env=child_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _stop(process)


def _folder(settings: Settings, number: int) -> Path:
    return settings.state_dir / FOLDER / f"sim-{number}"


async def _address(process: asyncio.subprocess.Process) -> str:
    """The address that the server prints in one line of JSON when it listens."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        return str(json.loads(line)["url"])
    except (TimeoutError, ValueError, KeyError) as error:
        raise SetupFailed("a simulated server did not start: its own words stand above") from error


def _ask_to_end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


async def _stop(process: asyncio.subprocess.Process) -> None:
    _ask_to_end(process)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
