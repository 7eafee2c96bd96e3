"""Where clients reach the server: a unix socket in a closed folder, or loopback TCP with a password."""

import contextlib
import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from atelier.kit.postgres.home import Home
from atelier.kit.postgres.pidfile import PidFile

USER = "atelier"
DATABASE = "atelier"
PORT = 5432
LOOPBACK = "127.0.0.1"
SOCKET_PATH_LIMIT = 103
"""Bytes: sockaddr_un holds 108 on Linux and 104 on macOS, with the closing zero."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a new server is told to listen on."""

    port: int
    socket_folder: Path | None

    def settings(self) -> tuple[str, ...]:
        if self.socket_folder is None:
            return (f"listen_addresses={LOOPBACK}", "unix_socket_directories=", f"port={self.port}")
        folder = str(self.socket_folder).replace('"', '""')
        return (
            "listen_addresses=",
            f'unix_socket_directories="{folder}"',
            "unix_socket_permissions=0700",
            f"port={self.port}",
        )


async def choose(home: Home) -> Address:
    """The first that works here: a socket in the home, one in the folder for temporary files, loopback TCP."""
    short = Path(tempfile.gettempdir()) / f"atelier-{hashlib.sha256(bytes(home.folder)).hexdigest()[:16]}"
    for folder in (home.sockets, short):
        if await _serves_sockets(home, folder):
            return Address(port=PORT, socket_folder=folder)
    return Address(port=_free_port(), socket_folder=None)


def url_of(home: Home, pid_file: PidFile, database: str = DATABASE) -> str:
    """The libpq URL of `database` on the living server. It carries a password only for TCP."""
    if pid_file.socket_folder:
        query = urlencode({"host": pid_file.socket_folder, "port": pid_file.port}, quote_via=quote)
        return f"postgresql://{USER}@/{quote(database)}?{query}"
    password = quote(home.password.read_text(encoding="utf-8").strip())
    return f"postgresql://{USER}:{password}@{LOOPBACK}:{pid_file.port}/{quote(database)}"


async def ensure_database(url: str) -> None:
    """Our database exists: made at the first start, or at the next one when that was interrupted."""
    info = conninfo_to_dict(url)
    async with await psycopg.AsyncConnection.connect(
        make_conninfo(url, dbname="postgres"), autocommit=True, connect_timeout=30
    ) as connection:
        name = sql.Identifier(str(info["dbname"]))
        found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", (info["dbname"],))
        if found.rowcount == 0:
            with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


async def _serves_sockets(home: Home, folder: Path) -> bool:
    path = folder / f".s.PGSQL.{PORT}"
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT or not _closed_folder(home, folder):
        return False
    return _binds(folder / ".probe") and await home.run_as.may_enter(folder)


def _closed_folder(home: Home, folder: Path) -> bool:
    """Whether `folder` is there now, belongs to the server's user, and lets nobody else in."""
    try:
        folder.mkdir(mode=0o700)
        home.run_as.own(folder)
    except FileExistsError:
        pass
    except OSError:
        return False
    stat = folder.lstat()
    owner = os.geteuid() if home.run_as.uid is None else home.run_as.uid
    return stat.st_mode & 0o170777 == 0o040700 and stat.st_uid == owner


def _binds(path: Path) -> bool:
    """Whether this file system and this kernel carry unix sockets (some network file systems do not)."""
    path.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
