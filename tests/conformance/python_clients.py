"""An environment with other people's Python clients as requirements/clients.txt locks them, outside the tree."""

import fcntl
import functools
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Never

import pytest

LOCK = Path(__file__).parents[2] / "requirements" / "clients.txt"
INSTALL_SECONDS = 280


def installed() -> Path:
    """Its Python; made once for each lock. Without an index to install from: a failure in CI, else a skip."""
    folder = Path.home() / ".cache" / "atelier-tests" / f"python-clients-{_digest()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _cannot(f"{folder.parent} cannot be made ({error.strerror})")
    with (folder.parent / "python-clients.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            _install(folder)
    return folder / "bin" / "python"


def _install(folder: Path) -> None:
    """Marked as whole when it is."""
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input", "--retries", "2"]
    try:
        done = subprocess.run(
            [*pip, "--require-hashes", "-r", str(LOCK)],
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        _cannot(f"pip did not install them within {INSTALL_SECONDS} s")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        _cannot(f"pip could not install them: {' '.join(errors[:2]) or done.stderr[-300:]}")
    (folder / "whole").touch()


def _cannot(sentence: str) -> Never:
    if os.environ.get("CI") == "true":  # noqa: TID251 - where nothing may be skipped silently
        pytest.fail(f"The Python clients of other people could not be tried: {sentence}", pytrace=False)
    pytest.skip(f"the Python clients of other people could not be tried: {sentence}")


@functools.cache
def _digest() -> str:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}".encode()
    return hashlib.sha256(version + LOCK.read_bytes()).hexdigest()[:16]
