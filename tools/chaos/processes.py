"""Atelier's roles as processes of their own, as in production: started on free ports, killed by their own ids."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 15.0


class NotStarted(Exception):  # noqa: N818 - what became of a process, not an error of ours
    """A process ended, or said nothing, before it was ready; the message ends with its last words."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Fleet:
    """The processes of one run. Each can be killed and started again with what it was started with.

    Their logs lie in `folder`; they are in a session of their own, so that Ctrl-C is ours alone to act on.
    """

    folder: Path
    database_url: str
    environment: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict[str, Process])
    urls: dict[str, str] = field(default_factory=dict[str, str])
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    settings: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    async def start(self, name: str, *command: str, **settings: str) -> None:
        """Start `atelier <command>` under this name, with settings of its own (without ATELIER_)."""
        self.commands[name], self.settings[name] = command, settings
        with self.log(name).open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "atelier", *command),
                env=self.environment | _variables(settings),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    async def line(self, name: str) -> str:
        """The first line that a process says: it is ready. Raises NotStarted."""
        stdout = self.processes[name].stdout
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await stdout.readline() if stdout else b""
        except TimeoutError:
            line = b""
        if not line:
            raise NotStarted(f"{name} did not start: {self.log(name).read_text()[-2000:]}")
        return line.decode()

    def lives(self, name: str) -> bool:
        """Whether nobody has seen its end; a frozen process lives."""
        process = self.processes.get(name)
        return process is not None and process.returncode is None

    async def kill(self, name: str) -> None:
        """Kill -9."""
        with contextlib.suppress(ProcessLookupError):
            self.processes[name].kill()
        await self.processes[name].wait()

    async def again(self, name: str) -> None:
        """Start what was killed."""
        await self.start(name, *self.commands[name], **self.settings[name])
        await self.line(name)

    def stop(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.processes[name].send_signal(signal.SIGCONT)

    async def leave(self, name: str) -> int | None:
        """SIGTERM. The exit code; None when it had to be killed after all."""
        process = self.processes[name]
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await process.wait()
        except TimeoutError:
            await self.kill(name)
            return None

    async def end(self) -> None:
        for name, process in self.processes.items():
            if process.returncode is None:
                await self.kill(name)

    async def simulator(
        self,
        name: str,
        *more: str,
        port: int | None = None,
        step_seconds: float = 0.0,
        seconds_to_load: float = 0.0,
    ) -> str:
        """Start a simulated server with its faults open. Gives its address, which stays the same over restarts."""
        await self.start(
            name,
            *("simulate", "--port", str(port or free_port()), "--faults", "--json", "--with-parent"),
            *("--directory", str(self.folder / name), "--step-seconds", str(step_seconds)),
            *("--load-seconds", str(seconds_to_load), *more),
        )
        self.urls[name] = str(json.loads(await self.line(name))["url"])
        return self.urls[name]


@contextlib.asynccontextmanager
async def processes(folder: Path, database_url: str, settings: Mapping[str, str]) -> AsyncGenerator[Fleet]:
    """Processes with this database and these settings (without ATELIER_); all are gone at the end."""
    inherited = os.environ  # noqa: TID251 - processes are started with what this one has, less our own names
    kept = {name: value for name, value in inherited.items() if not name.startswith(("ATELIER_", "COMFYUI_"))}
    ours = {
        "state_dir": str(folder / "state"),
        "database_url": database_url,
        "key_pepper": "pepper of a test",
        "link_secret": "secret of a test",
        "log_format": "json",
        **settings,
    }
    fleet = Fleet(folder, database_url, kept | _variables(ours))
    try:
        yield fleet
    finally:
        await fleet.end()


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"ATELIER_{name.upper()}": value for name, value in settings.items()}
