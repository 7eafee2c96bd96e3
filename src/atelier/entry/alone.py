"""One `up` per state folder: two would name different servers to one database, each taking the other's out."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from atelier.entry.state import make_folder
from atelier.kit.errors import SetupFailed

FILE = "up.lock"


@contextlib.contextmanager
def alone(state_dir: Path) -> Generator[None]:
    """Hold the folder; the hold falls with the process, however it ends. Raises SetupFailed while it is held.

    Roles that run alone (`serve`, `dispatch`, `tasks`) do not ask: any number of them may share a folder.
    """
    make_folder(state_dir)
    try:
        handle = os.open(state_dir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupFailed(
            f"{state_dir / FILE} cannot be made ({error.strerror}): give this user the right to write there,"
            " or name another state folder with --state"
        ) from error
    try:
        _take(handle, state_dir)
        yield
    finally:
        os.close(handle)


def _take(handle: int, state_dir: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
        raise SetupFailed(
            f"Atelier is up already in {state_dir} (process {holder}): stop that one,"
            " or start another with a state folder of its own (--state)"
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
