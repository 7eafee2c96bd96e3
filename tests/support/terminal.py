"""The command line as its users start it: a process of its own, in a folder of its own."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENOUGH_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """Starts `atelier …` in `folder`, with `environ` and none of the settings of this process."""

    folder: Path
    environ: dict[str, str]

    async def start(self, *arguments: str, stdin: int = DEVNULL, **more: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "atelier", *arguments),
            cwd=self.folder,
            env=self.environ | more,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def run(self, *arguments: str, **more: str) -> Ended:
        process = await self.start(*arguments, stdin=DEVNULL, **more)
        async with asyncio.timeout(ENOUGH_SECONDS):
            out, err = await process.communicate()
        return Ended(process.returncode or 0, out.decode(), err.decode())


async def ready_line(process: Process) -> dict[str, Any]:
    """The one line of JSON that says that jobs are taken."""
    assert process.stdout is not None
    async with asyncio.timeout(ENOUGH_SECONDS):
        line = await process.stdout.readline()
    assert line, "it ended before it was ready"
    document: dict[str, Any] = json.loads(line)
    return document


async def stopped(process: Process, number: signal.Signals = signal.SIGTERM) -> Ended:
    """Told to stop, and gone within the ten seconds that are promised."""
    process.send_signal(number)
    async with asyncio.timeout(10):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())
