"""What an installation keeps for itself: its database with the current schema, and its secrets, made once."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from atelier.entry.settings import Settings
from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed
from atelier.kit.migrations import migrate

SCHEMA = Path(__file__).parent / "schema"
SECRET_BYTES = 32

WALK_THROUGH = 0o711
"""Of the state folder: nobody else lists it, and PostgreSQL's own user gets to its data below. What lies in it is
closed by itself (0600, 0700)."""
CLOSED = 0o700

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Secrets:
    """`pepper` goes into the digests of API keys, `links` signs download links."""

    pepper: bytes = field(repr=False)
    links: bytes = field(repr=False)


@contextlib.asynccontextmanager
async def database_url(settings: Settings, announce: Announce) -> AsyncGenerator[str]:
    """The named PostgreSQL, or the embedded one of the state folder, shared with whoever else uses that folder."""
    if settings.database_url:
        yield settings.database_url
        return
    from atelier.kit.postgres import embedded

    make_folder(settings.state_dir)
    async with embedded(settings.state_dir / "postgres", announce=announce) as url:
        yield url


@contextlib.asynccontextmanager
async def database(settings: Settings, announce: Announce) -> AsyncGenerator[Database]:
    """An open database whose schema is up to date. Raises SetupFailed."""
    async with database_url(settings, announce) as url:
        opened = Database(url, pool_size=settings.database_pool, listen_url=settings.database_listen_url or None)
        await opened.open()
        try:
            await migrate(opened, SCHEMA)
            yield opened
        finally:
            await opened.close()


def secrets_of(settings: Settings) -> Secrets:
    """The secrets that are set, else those kept in the state folder (0600), made at the first use."""
    return Secrets(
        pepper=_secret(settings, settings.key_pepper.get_secret_value(), "key_pepper"),
        links=_secret(settings, settings.link_secret.get_secret_value(), "link_secret"),
    )


def make_folder(folder: Path, mode: int = WALK_THROUGH) -> None:
    """The folder is there, or SetupFailed says what to do. One that was there keeps its mode."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupFailed(
            f"the state folder {folder} cannot be made ({error.strerror}): let ATELIER_STATE_DIR or --state name"
            " a folder that this user may write"
        ) from error


def _secret(settings: Settings, chosen: str, name: str) -> bytes:
    if chosen:
        return chosen.encode()
    make_folder(settings.state_dir)
    file = settings.state_dir / name
    try:
        if not file.exists():
            _make_once(file, secrets.token_urlsafe(SECRET_BYTES))
        return file.read_bytes().strip()
    except OSError as error:
        raise SetupFailed(
            f"{file} cannot be read or made ({error.strerror}): give this user the right to, or free some space"
        ) from error


def _make_once(file: Path, text: str) -> None:
    """Whole or not at all, and the first of several makers wins. Temporary files are 0600 from birth."""
    handle, half = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        with contextlib.suppress(FileExistsError):
            os.link(half, file)
    finally:
        Path(half).unlink()
