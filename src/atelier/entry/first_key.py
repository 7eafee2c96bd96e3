"""A new installation gets one admin key, kept in its state folder (0600), so that its next start knows it too."""

import os
from pathlib import Path

from atelier.accounts import service as accounts
from atelier.accounts.model import Role, Unauthorized
from atelier.entry.settings import Settings
from atelier.entry.state import make_folder
from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed

ACCOUNT = "default"
LABEL = "first key"
FILE = "first_key"


async def first_key(settings: Settings, database: Database, pepper: bytes) -> str:
    """The kept key while it is good; a new one where there is none, or where it was revoked."""
    file = settings.state_dir / FILE
    kept = _kept(file)
    if kept and await _opens(database, pepper, kept):
        return kept
    async with database.transaction() as tx:
        account = await accounts.ensure_account(tx, ACCOUNT)
        _, plaintext = await accounts.create_key(tx, pepper, account.id, Role.ADMIN, LABEL)
    make_folder(settings.state_dir)
    write_private(file, plaintext)
    return plaintext


def write_private(file: Path, text: str) -> None:
    """A file that only this user reads (0600), also when it was there before. Raises SetupFailed."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            os.fchmod(handle, 0o600)
            stream.write(f"{text}\n")
    except OSError as error:
        raise SetupFailed(f"the key cannot be written to {file} ({error.strerror}): name another file") from error


async def _opens(database: Database, pepper: bytes, plaintext: str) -> bool:
    try:
        await accounts.authenticate(database, pepper, plaintext)
    except Unauthorized:
        return False
    return True


def _kept(file: Path) -> str:
    """A key is plain ASCII: what is not opens nothing, and is replaced like a revoked one."""
    try:
        return file.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SetupFailed(
            f"{file} cannot be read ({error.strerror}): give this user the right to, or delete it to get a new key"
        ) from error
