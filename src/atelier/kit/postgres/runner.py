"""The server never runs as root: root hands it to an unprivileged user, anybody else runs it as themselves."""

import asyncio
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.kit.errors import SetupFailed

SERVICE_USERS = ("postgres", "nobody")
"""Whom root hands the data to: PostgreSQL's own user where there is one, else the user that owns nothing.
`initdb` demands an entry in the user database, so a bare number would not do."""

LAST_WORDS_SECONDS = 5.0
"""A killed command's own children may hold its output open for a moment."""

ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
"""All that the server sees of our environment: no PG* variable of the user reaches it."""


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    output: str


@dataclass(frozen=True, slots=True)
class RunAs:
    """Who runs the server. `uid` is None when that is simply this process's own user."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Give `path` itself (nothing below, nothing above) to the server's user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    async def run(
        self, *command: str | Path, give_up_after: float = 300, pass_fds: Sequence[int] = ()
    ) -> Finished:
        """Run a command of ours to its end, as the server's user, in a session of its own, without a shell.

        Not through the event loop: uvloop's cannot start a program as another user.
        """
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - a millisecond; commands of ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            pass_fds=pass_fds,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )
        said = asyncio.get_running_loop().run_in_executor(None, process.communicate)
        try:
            async with asyncio.timeout(give_up_after):
                output, _ = await asyncio.shield(said)
        finally:
            if not said.done():
                process.kill()
                await asyncio.wait([said], timeout=LAST_WORDS_SECONDS)
        return Finished(process.returncode or 0, output.decode(errors="replace"))

    async def may_enter(self, folder: Path) -> bool:
        """Whether the server's user can walk down to `folder`: asked of the kernel, which knows ACLs too."""
        return self.uid is None or (await self.run("/bin/sh", "-c", 'cd "$1"', "sh", folder)).code == 0

    async def may_execute(self, program: Path) -> bool:
        if self.uid is None:
            return True
        return (await self.run("/bin/sh", "-c", '"$1" --version', "sh", program)).code == 0


def server_user(data: Path) -> RunAs:
    """The user of the server that works in `data`: its owner when it exists, else chosen by who we are."""
    if os.geteuid() != 0:
        return RunAs(name="")
    return _owner(data) if data.exists() else _service_user()


def _owner(data: Path) -> RunAs:
    stat = data.stat()
    if stat.st_uid == 0:
        raise SetupFailed(
            f"{data} belongs to root, and PostgreSQL refuses to run as root:"
            f" give it to another user (chown -R {_service_user().name} {data})"
        )
    return RunAs(name=_name_of(stat.st_uid), uid=stat.st_uid, gid=stat.st_gid)


def _service_user() -> RunAs:
    for name in SERVICE_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return RunAs(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise SetupFailed(
        "PostgreSQL refuses to run as root and this machine has neither a user postgres nor a user nobody:"
        " make one (useradd --system postgres), or start Atelier as an ordinary user"
    )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
