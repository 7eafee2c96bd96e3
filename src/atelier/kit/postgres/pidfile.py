"""What `postmaster.pid` says is believed only of a server that is known to live by other means.

Its lines (src/include/utils/pidfile.h of PostgreSQL 18): pid, data folder, start time, port, socket folder,
listen address, shared memory key, status (`starting`, `ready`, `stopping`).
"""

import enum
import os
from dataclasses import dataclass
from pathlib import Path

LINES = 8


class Status(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class PidFile:
    pid: int
    port: int
    socket_folder: str
    """Empty when the server listens on loopback TCP only."""
    status: Status


def read(data: Path) -> PidFile | None:
    """The pid file in `data`; None while there is none or it is not yet written in full."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        if len(lines) < LINES:
            return None
        return PidFile(
            pid=abs(int(lines[0])),
            port=int(lines[3]),
            socket_folder=lines[4].strip(),
            status=Status(lines[7].strip()),
        )
    except (FileNotFoundError, ValueError):
        return None


def works_in(pid: int, data: Path) -> bool | None:
    """Whether process `pid` works in `data`, as every process of a server does; None where nobody can say.

    A recycled pid lives but works elsewhere; a zombie works nowhere. Only Linux tells (/proc). A root without
    CAP_SYS_PTRACE, as in most containers, may not see where others work, but it sees how they were called.
    """
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self/cwd").exists():
        return None
    try:
        return (process / "cwd").samefile(data)
    except PermissionError:
        return _called_with(process, data)
    except OSError:
        return False


def _called_with(process: Path, data: Path) -> bool:
    try:
        return os.fsencode(data) in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
