"""Whoever asks gets a ready server; the last one to leave stops it, unless it is told to keep it.

A process that was killed leaves no trace that could mislead: its locks fell with it, and the server that it
leaves behind is used by the next one that asks.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Self

import structlog

from atelier.kit.clock import monotonic
from atelier.kit.errors import SetupFailed
from atelier.kit.postgres import address, cluster, server
from atelier.kit.postgres.home import FALLBACK, Announce, Home, settle
from atelier.kit.postgres.locks import FileLock, alone
from atelier.kit.postgres.pidfile import PidFile, Status

POLL_SECONDS = 0.02
ANNOUNCE_SECONDS = 3.0
REMAINS_SECONDS = 60.0
START_LOCK_SECONDS = 400.0
"""Longer than the longest that anybody holds it: making the data folder on a slow disk."""

_log = structlog.get_logger(__name__)


def _to_log(message: str) -> None:
    _log.info("postgres", message=message)


class EmbeddedPostgres:
    """Our share in a running server. Make it with `start`, end it with `leave`."""

    def __init__(self, home: Home, *, keep: bool, announce: Announce) -> None:
        self._home = home
        self._keep = keep
        self._announce = announce
        self._share = FileLock(home.users_lock)
        self.url = ""
        """The libpq URL of our database on the server."""

    @classmethod
    async def start(
        cls, folder: Path, *, keep: bool = False, announce: Announce = _to_log, fallback: Path = FALLBACK
    ) -> Self:
        """A share in the server of `folder`, which is started when it is not running.

        Waits as long as a recovery lasts and says so through `announce`, as it does when data or binaries go to
        `fallback`. `SetupFailed`: no space, no permission, data of another version, no user to run it.
        """
        try:
            ours = cls(await settle(folder, announce, fallback), keep=keep, announce=announce)
            await ours._enter_or_leave()
        except OSError as error:
            raise _refused(folder, error) from error
        return ours

    @property
    def folder(self) -> Path:
        """Where the data, the log and the locks really are."""
        return self._home.folder

    async def leave(self) -> None:
        """Give the share back, once; the last one stops the server within about ten seconds."""
        if self._share.fd < 0:
            return
        async with alone(self._home.start_lock, START_LOCK_SECONDS):
            if self._share.take_alone() and not self._keep:
                await server.stop(self._home)
            self._share.close()

    async def _enter_or_leave(self) -> None:
        try:
            await self._enter()
        except BaseException:
            await self.leave()
            raise

    async def _enter(self) -> None:
        offset = server.log_length(self._home)
        async with alone(self._home.start_lock, START_LOCK_SECONDS):
            self._share.take_shared()
            await self._outlive_remains()
            if not server.lives(self._home):
                await cluster.ensure(self._home)
                await server.launch(self._home, await address.choose(self._home))
        self.url = address.url_of(self._home, await self._ready(offset))
        await address.ensure_database(self.url)

    async def _outlive_remains(self) -> None:
        """The last processes of a server that stops or was killed end by themselves; none starts before that."""
        began = monotonic()
        while server.is_leaving(self._home):
            if monotonic() - began > REMAINS_SECONDS:
                raise SetupFailed(
                    f"a PostgreSQL that was killed, or one in another container, still works in {self._home.data}:"
                    " end its processes"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _ready(self, offset: int) -> PidFile:
        """Recovery lasts as long as it lasts: what ends the wait is the server, ready or gone."""
        began = said = monotonic()
        while True:
            found = server.postmaster(self._home)
            if found is not None and found.status is Status.READY:
                return found
            if not server.lives(self._home):
                raise server.failure(self._home, offset)
            if monotonic() - said > ANNOUNCE_SECONDS:
                said = monotonic()
                self._announce(f"PostgreSQL recovers its data, {said - began:.0f} s so far")
            await asyncio.sleep(POLL_SECONDS)


@contextlib.asynccontextmanager
async def embedded(
    folder: Path, *, keep: bool = False, announce: Announce = _to_log, fallback: Path = FALLBACK
) -> AsyncGenerator[str]:
    """The URL of the server of `folder` for as long as the block runs; see `EmbeddedPostgres.start`."""
    ours = await EmbeddedPostgres.start(folder, keep=keep, announce=announce, fallback=fallback)
    try:
        yield ours.url
    finally:
        await ours.leave()


def _refused(folder: Path, error: OSError) -> SetupFailed:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            cure = f"the disk is full; make room on the disk of {folder}"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            cure = (
                f"it may not write to {error.filename or folder}; give it the right, or name another state folder"
            )
        case _:
            cure = str(error) or "it took too long; see what keeps the disk busy"
    return SetupFailed(f"PostgreSQL cannot keep its data in {folder}: {cure}")
