"""One server works in a data folder: the lock that it inherited proves that it lives, never a number in a file."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from atelier.kit.errors import SetupFailed
from atelier.kit.postgres import locks, pidfile
from atelier.kit.postgres.address import Address
from atelier.kit.postgres.cluster import cause
from atelier.kit.postgres.home import Home
from atelier.kit.postgres.pidfile import PidFile, Status

POLL_SECONDS = 0.02
ASKERS_SECONDS = 5.0
"""Far longer than anybody who only asks whether the server lives holds its lock."""
FAST_SECONDS = 5.0
IMMEDIATE_SECONDS = 4.0
LOG_LIMIT = 10_000_000
"""Bytes after which a starting server begins a new log; one old one is kept."""

SETTINGS = (
    "max_connections=200",
    "shared_buffers=128MB",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
)
"""Nobody can set these otherwise later. `fsync` is not among them: it is on unless somebody turns it off in the
data folder, as the tests do, whose databases end with them."""

LAUNCH = """log=$1; shift; "$@" </dev/null >>"$log" 2>&1 &"""
"""The server becomes an orphan at once: no process of ours must reap it, and none takes it along into death."""


def lives(home: Home) -> bool:
    """Whether any process of a server, or the remains of one, works in the data folder.

    Ours hold the lock that they inherited. One that was started by hand is found by its working folder.
    """
    if locks.is_held(home.server_lock):
        return True
    found = pidfile.read(home.data)
    return found is not None and pidfile.works_in(found.pid, home.data) is True


def postmaster(home: Home) -> PidFile | None:
    """The pid file of the living server; None when the file is stale, or tells of a server that was killed."""
    found = pidfile.read(home.data)
    if found is None or not lives(home):
        return None
    return None if pidfile.works_in(found.pid, home.data) is False else found


async def launch(home: Home, address: Address) -> None:
    """Start a server in a folder where none works, and do not wait for it. Call it holding the start lock."""
    _prepare_log(home)
    async with locks.alone(home.server_lock, ASKERS_SECONDS) as lock:
        _remove_stale(home.data, address)
        await home.run_as.run(*_command(home, address), pass_fds=(lock.fd,))


def log_length(home: Home) -> int:
    return home.log.stat().st_size if home.log.exists() else 0


def failure(home: Home, offset: int) -> SetupFailed:
    """Why a server that was starting is gone, from what it wrote to its log since `offset`."""
    with home.log.open("rb") as log:
        log.seek(offset)
        words = log.read().decode(errors="replace")
    return SetupFailed(f"PostgreSQL did not start in {home.data}: {cause(words, home)}")


async def stop(home: Home) -> None:
    """Stop the server: politely, then at once (it recovers at the next start). Call it holding the start lock."""
    for how, seconds in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, IMMEDIATE_SECONDS)):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _ask_to_end(home, how)
                return


async def _ask_to_end(home: Home, how: signal.Signals) -> None:
    """One signal, as soon as the server has told its pid (it may have been launched just now); then wait."""
    asked = False
    while lives(home):
        found = None if asked else postmaster(home)
        if found is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, how)
            asked = True
        await asyncio.sleep(POLL_SECONDS)


def is_leaving(home: Home) -> bool:
    """Whether those who work in the data folder are the last of a server that stops or was killed."""
    found = pidfile.read(home.data)
    if found is None or not lives(home):
        return False
    return found.status is Status.STOPPING or pidfile.works_in(found.pid, home.data) is False


def _command(home: Home, address: Address) -> tuple[str | Path, ...]:
    settings = (word for setting in (*SETTINGS, *address.settings()) for word in ("-c", setting))
    return ("/bin/sh", "-c", LAUNCH, "sh", home.log, home.binaries.postgres, "-D", home.data, *settings)


def _prepare_log(home: Home) -> None:
    if log_length(home) > LOG_LIMIT:
        home.log.replace(home.log.with_suffix(".old"))
    home.log.touch(mode=0o600)
    home.run_as.own(home.log)


def _remove_stale(data: Path, address: Address) -> None:
    """Nobody works in the folder, so whatever pid these files name, it is not a server's."""
    (data / "postmaster.pid").unlink(missing_ok=True)
    if address.socket_folder is not None:
        for name in (f".s.PGSQL.{address.port}", f".s.PGSQL.{address.port}.lock"):
            (address.socket_folder / name).unlink(missing_ok=True)
