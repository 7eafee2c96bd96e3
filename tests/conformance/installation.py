"""A whole Atelier as its users start it: `atelier up` in a process of its own, with two simulated servers."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATELIER = (sys.executable, "-m", "atelier")
STEP_SECONDS = 0.02
START_SECONDS = 60
STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Installation:
    """`url` and `key` are what an SDK needs; `folder` is the state folder, `pid` the process of `up`."""

    url: str
    key: str
    pid: int
    folder: Path

    def key_of(self, account: str, role: str = "member") -> str:
        """A new key of another account, made by the command line."""
        made = subprocess.run(
            [*ATELIER, "keys", "create", "--json", "--account", account, "--role", role, "--state", self.folder],
            env=environment(),
            capture_output=True,
            check=True,
            timeout=START_SECONDS,
        )
        return str(json.loads(made.stdout)["key"])

    def revoke(self, key: str) -> None:
        command = [*ATELIER, "keys", "revoke", key, "--state", str(self.folder)]
        subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=START_SECONDS)


@contextlib.contextmanager
def throwaway(name: str, **settings: str) -> Generator[Installation]:
    """One in a folder of its own, which is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"atelier-{name}-"))
    folder.chmod(0o755)  # the embedded PostgreSQL of root works as another user
    try:
        with installation(folder, **settings) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def installation(folder: Path, comfyui: str | None = None, **settings: str) -> Generator[Installation]:
    """Everything runs, on a database of its own, until the context ends; settings are written without ATELIER_.

    It drives the server at `comfyui`, or two simulated ones of its own.
    """
    state, key_file = folder / "state", folder / "key"
    servers = ["--comfyui", comfyui] if comfyui else ["--simulate", "2"]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*ATELIER, "up", "--json", "--port", "0", *servers, "--state", state, "--key-file", key_file],
            env=environment(simulate_step=str(STEP_SECONDS), simulate_load="0.01", **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        ready = ready_line(process, folder / "up.log")
        yield Installation(str(ready["url"]), key_file.read_text().strip(), process.pid, state)
    finally:
        stop(process)
    said = (folder / "up.log").read_text()
    assert "Traceback" not in said, f"nothing of all this was a bug, but: {said[-6000:]}"


def environment(**settings: str) -> dict[str, str]:
    """What this process has, without the settings that it was given, and with these."""
    inherited = os.environ  # noqa: TID251 - processes are started with what this one has, less our own names
    kept = {name: value for name, value in inherited.items() if not name.startswith(("ATELIER_", "COMFY"))}
    return kept | {f"ATELIER_{name.upper()}": value for name, value in settings.items()}


def ready_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else b""
    assert line, f"it did not start: {log.read_text()[-3000:]}"
    document: dict[str, Any] = json.loads(line)
    return document


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
