"""The virtual environment holds exactly what the lock says, or carries no stamp and is completed before use."""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from tools import debian
from tools.terminal import Failed, Stop, Words, run_showing, say

ROOT = Path(__file__).resolve().parent.parent
ENOUGH_SPACE = {"run": 700_000_000, "test": 1_500_000_000}
VENV_MISSING = (
    f"this Python ({sys.executable}) cannot make virtual environments: install its venv package"
    f" (Debian, Ubuntu: apt install {debian.venv_package()}), then start again"
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment at `folder`, with what `lock` ("run" or "test") names."""

    folder: Path
    lock: str

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / "atelier-stamp.json"

    @property
    def requirements(self) -> Path:
        return ROOT / "requirements" / f"{self.lock}.txt"


def prepared(lock: str) -> Environment:
    """The environment, made or brought up to date where it must be. Raises Stop with a sentence and its cure."""
    folder = Path(os.environ.get("ATELIER_VENV") or ROOT / ".venv").absolute()  # noqa: TID251 - before settings exist
    environment = Environment(folder, lock)
    if ready(environment):
        return environment
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not ready(environment):
                fill(environment)
    except OSError as error:
        raise Stop(_about_the_disk(folder, str(error))) from error
    return environment


def _wanted(environment: Environment) -> dict[str, str]:
    """What the stamp must say: the lock's hash, the project's own metadata, and the Python it was made with."""
    return {
        environment.lock: _digest(environment.requirements),
        "project": _digest(ROOT / "pyproject.toml"),
        "root": str(ROOT),
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }


def ready(environment: Environment) -> bool:
    """Whether it was completed, from this lock, for this clone and this Python."""
    try:
        stamp = json.loads(environment.stamp.read_text())
    except (OSError, ValueError):
        return False
    alive = environment.python.exists()
    return alive and all(stamp.get(name) == value for name, value in _wanted(environment).items())


def fill(environment: Environment) -> None:
    """Make it what the lock says; without a stamp until it is."""
    _check_space(environment)
    environment.stamp.unlink(missing_ok=True)
    if not _usable(environment):
        _make(environment)
    _install(environment)
    write_stamp(environment)


def write_stamp(environment: Environment) -> None:
    """Whole or not at all: from here on the environment is what the lock says."""
    stamp = _wanted(environment)
    if environment.lock == "test":  # the test lock contains the other one
        stamp["run"] = _digest(ROOT / "requirements" / "run.txt")
    half = environment.stamp.with_suffix(".new")
    half.write_text(json.dumps(stamp))
    half.replace(environment.stamp)


def _make(environment: Environment) -> None:
    if not _can_make() and not (environment.lock == "test" and debian.installed(debian.venv_package())):
        raise Stop(VENV_MISSING)
    try:
        run_showing(f"Making {environment.folder}", [sys.executable, "-m", "venv", "--clear", environment.folder])
    except Failed as failed:
        raise Stop(_about_venv(environment, failed.said)) from failed


def _can_make() -> bool:
    return all(importlib.util.find_spec(module) is not None for module in ("venv", "ensurepip"))


def _install(environment: Environment) -> None:
    pip: Words = [environment.python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    total = environment.requirements.read_text().count("==")
    say(f"Installing {total} packages into {environment.folder} (only when the lock changed; a minute or so)")
    try:
        run_showing(
            "Installing",
            [*pip, "--require-hashes", "--retries", "2", "-r", environment.requirements],
            count="Collecting ",
            of=total,
            then="Installing collected packages",
        )
        run_showing("Installing Atelier itself", [*pip, "--no-deps", "--no-build-isolation", "-e", ROOT])
    except Failed as failed:
        raise Stop(about_pip(environment, failed.said)) from failed


def _usable(environment: Environment) -> bool:
    """Whether its Python starts, is the version that asks, and has pip."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    probe = f"import sys, pip; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    try:
        run_showing(f"Looking at {environment.folder}", [environment.python, "-c", probe])
    except (Failed, OSError):
        return False
    return True


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """One process at a time works in `folder`; the lock goes with its holder, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another ./run is preparing {folder}: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _check_space(environment: Environment) -> None:
    free = shutil.disk_usage(environment.folder).free
    if free < ENOUGH_SPACE[environment.lock]:
        needed = ENOUGH_SPACE[environment.lock] // 1_000_000
        raise Stop(
            f"there are {free // 1_000_000} MB free at {environment.folder} and {needed} MB are needed:"
            " free some, or let ATELIER_VENV name a folder on another disk"
        )


def _about_venv(environment: Environment, said: str) -> str:
    if "ensurepip" in said or "No module named" in said:
        return VENV_MISSING
    return _about_the_disk(environment.folder, said)


def _about_the_disk(folder: Path, said: str) -> str:
    if "No space left" in said:
        return f"the disk of {folder} is full: free some space, or let ATELIER_VENV name a folder on another disk"
    if "ermission denied" in said or "Read-only" in said:
        return f"{folder} cannot be written: let ATELIER_VENV name a folder that you may write"
    return f"the virtual environment {folder} could not be made: {_last_line(said)}"


_OFFLINE = (
    "NewConnectionError",
    "Name or service",
    "name resolution",
    "ConnectTimeout",
    "ReadTimeout",
    "Max retries",
)


def about_pip(environment: Environment, said: str) -> str:
    """One sentence for what pip says in many."""
    if any(word in said for word in _OFFLINE):
        return (
            "pip does not reach its package index: connect this machine, or name a proxy (HTTPS_PROXY)"
            " or a mirror (PIP_INDEX_URL), then start again"
        )
    if "No space left" in said or "ermission denied" in said:
        return _about_the_disk(environment.folder, said)
    if "DO NOT MATCH THE HASHES" in said:
        return "a downloaded package is not the one that the lock names: the package index or a mirror changed it"
    return f"pip could not install requirements/{environment.lock}.txt: {_last_line(said)}"


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
