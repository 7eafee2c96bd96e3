"""The data folder is made once, whole or not at all, and only by the PostgreSQL that can read it."""

import secrets
import shutil
import tempfile
from pathlib import Path

from atelier.kit.errors import SetupFailed
from atelier.kit.postgres.address import USER
from atelier.kit.postgres.binaries import MAJOR
from atelier.kit.postgres.home import Home

UNFINISHED = ".making-"
LITTLE_SPACE = 100_000
"""Bytes. With less, the server could not even write down why it ended."""


async def ensure(home: Home) -> None:
    """The data of `home` exist and are of our version. Call it holding the start lock."""
    if home.data.exists():
        _refuse_other_version(home)
        return
    for left_over in home.folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    _write_password(home)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home.folder))
    home.run_as.own(unfinished)
    try:
        await _initdb(home, unfinished)
        _finish(unfinished, home.data)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _finish(unfinished: Path, data: Path) -> None:
    unfinished.rename(data)


def _refuse_other_version(home: Home) -> None:
    version = home.data / "PG_VERSION"
    made_by = version.read_text(encoding="utf-8").strip() if version.exists() else "an unknown version"
    if made_by != str(MAJOR):
        raise SetupFailed(
            f"the data in {home.data} were made by PostgreSQL {made_by} and this Atelier brings {MAJOR}:"
            " start the Atelier that made them and dump them with pg_dump, or use another state folder"
        )


def _write_password(home: Home) -> None:
    home.password.unlink(missing_ok=True)
    home.password.touch(mode=0o600)
    home.password.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    home.run_as.own(home.password)


async def _initdb(home: Home, folder: Path) -> None:
    """UTF-8 with code point order and Unicode case rules, the same on every machine (no locale of the system)."""
    done = await home.run_as.run(
        home.binaries.initdb,
        *("--pgdata", folder, "--username", USER, "--pwfile", home.password),
        *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    if done.code != 0:
        raise SetupFailed(f"PostgreSQL could not make its data folder {home.data}: {cause(done.output, home)}")


def cause(output: str, home: Home) -> str:
    """The sentence of PostgreSQL's own output that says what to mend, with the cure where we know it."""
    known = {
        "No space left on device": f"the disk is full; make room on the disk of {home.folder}",
        "Permission denied": f"permission denied; let {home.run_as.name or 'this user'} write to {home.folder}",
        "Read-only file system": f"the file system of {home.folder} is read-only; name another state folder",
    }
    if shutil.disk_usage(home.folder).free < LITTLE_SPACE:
        output += "No space left on device"
    for mark, cure in known.items():
        if mark in output:
            return cure
    telling = [line for line in output.splitlines() if "FATAL:" in line or "PANIC:" in line or "error:" in line]
    last = telling[-1] if telling else "it ended without a word"
    return f"{last.split(': ', 1)[-1].strip()} (its log is {home.log})"
