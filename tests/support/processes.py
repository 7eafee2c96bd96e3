"""Atelier's roles as processes of their own, as in production: started on free ports, killed by their own ids."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Fleet:
    """The processes of one test. Each role can be killed and started again with what it was started with."""

    folder: Path
    database_url: str
    environment: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict[str, Process])
    urls: dict[str, str] = field(default_factory=dict[str, str])
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    async def start(self, name: str, *command: str) -> None:
        """Start `atelier <command>` under this name."""
        self.commands[name] = command
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "atelier",
                *command,
                env=self.environment,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
            )

    async def line(self, name: str) -> str:
        """The first line that a process says: it is ready."""
        stdout = self.processes[name].stdout
        assert stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await stdout.readline()
        assert line, f"{name} did not start: {(self.folder / f'{name}.log').read_text()[-2000:]}"
        return line.decode()

    async def kill(self, name: str) -> None:
        """kill -9."""
        self.processes[name].kill()
        await self.processes[name].wait()

    async def again(self, name: str) -> None:
        """Start what was killed."""
        await self.start(name, *self.commands[name])
        await self.line(name)

    def stop(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    async def end(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def simulator(self, name: str, *, port: int | None = None, step_seconds: float = 0.0) -> str:
        """Start a simulated server with its faults open. Gives its address, which stays the same over restarts."""
        chosen = port or free_port()
        folder = self.folder / name
        await self.start(
            name,
            "simulate",
            "--port",
            str(chosen),
            "--faults",
            "--json",
            "--directory",
            str(folder),
            "--step-seconds",
            str(step_seconds),
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
    environment = kept | {f"ATELIER_{name.upper()}": value for name, value in ours.items()}
    fleet = Fleet(folder, database_url, environment)
    try:
        yield fleet
    finally:
        await fleet.end()


@dataclass(slots=True)
class Api:
    """A client of Comfy API v2 that tries again while the API is away, with the same idempotency key."""

    url: str
    key: str
    http: aiohttp.ClientSession

    async def submit(self, graph: Mapping[str, Any], idempotency_key: str) -> str | None:
        """The job's id; None when an earlier try of the same key was accepted and its answer lost."""
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": idempotency_key}
        async with asyncio.timeout(60):
            while True:
                try:
                    reply = await self.http.post(
                        f"{self.url}/api/v2/jobs", json={"workflow": graph}, headers=headers
                    )
                    body = await reply.json()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
                    continue
                if reply.status == 201:
                    return str(body["id"])
                assert (reply.status, body["error"]["code"]) == (422, "idempotency_key_reuse"), body
                return None

    async def get(self, path: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                try:
                    headers = {"Authorization": f"Bearer {self.key}"}
                    async with self.http.get(f"{self.url}{path}", headers=headers) as reply:
                        assert reply.status == 200, await reply.text()
                        shown: dict[str, Any] = await reply.json()
                        return shown
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
