"""The home of one server: a folder that its user can enter, with data, socket, log and locks in it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atelier.kit.errors import SetupFailed
from atelier.kit.postgres.binaries import Binaries, copied, installed
from atelier.kit.postgres.runner import RunAs, server_user

FALLBACK = Path("/var/lib/atelier")
Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Home:
    folder: Path
    run_as: RunAs
    binaries: Binaries

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def sockets(self) -> Path:
        return self.folder / "run"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def password(self) -> Path:
        """The file with the password for loopback TCP, 0600. The socket needs none: its folder is closed."""
        return self.folder / "password"

    @property
    def start_lock(self) -> Path:
        """Held alone by whoever starts or stops the server."""
        return self.folder / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by every process that uses the server."""
        return self.folder / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Inherited by every process of the server: held exactly while somebody works in the data folder."""
        return self.folder / "server.lock"


async def settle(folder: Path, announce: Announce, fallback: Path = FALLBACK) -> Home:
    """The home for `folder`: there, or below `fallback` when the server's user may not enter it (in /root)."""
    place = await _place(_absolute(folder), announce, fallback)
    run_as = server_user(place / "data")
    _make(place, run_as)
    return Home(place, run_as, await _runnable(run_as, announce, fallback))


def _absolute(folder: Path) -> Path:
    return folder.resolve()


async def _place(folder: Path, announce: Announce, fallback: Path) -> Path:
    run_as = server_user(folder / "data")
    _make(folder, run_as)
    if await run_as.may_enter(folder):
        return folder
    if (folder / "data").exists():
        raise SetupFailed(
            f"the data in {folder} belong to the user {run_as.name}, who may not enter it (any more):"
            " let that user walk through the folders above it, or move it to where it may"
        )
    _open_to_all(fallback)
    elsewhere = fallback / hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    announce(f"PostgreSQL keeps its data in {elsewhere}: its user {run_as.name} may not enter {folder}")
    return elsewhere


def _make(folder: Path, run_as: RunAs) -> None:
    """A new or empty folder is closed to all but the server's user; one with something in it is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        folder.chmod(0o700)
        run_as.own(folder)


def _open_to_all(fallback: Path) -> None:
    """The fallback folder is ours alone to make, so its mode is set whatever the umask; what exists is left."""
    if not fallback.exists():
        fallback.mkdir(parents=True)
        fallback.chmod(0o755)


async def _runnable(run_as: RunAs, announce: Announce, fallback: Path) -> Binaries:
    binaries = installed()
    if await run_as.may_execute(binaries.postgres):
        return binaries
    _open_to_all(fallback)
    copy = copied(binaries, fallback)
    announce(f"PostgreSQL runs from {copy.folder}: its user {run_as.name} may not run {binaries.folder}")
    return copy
