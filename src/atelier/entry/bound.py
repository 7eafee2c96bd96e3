"""A second listener, on loopback, whose every request is asked with one key: for clients that can send none."""

import socket

from atelier.accounts import service as accounts
from atelier.accounts.model import Unauthorized
from atelier.entry.listening import listen
from atelier.entry.settings import Settings
from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed
from atelier.kit.http.origins import is_loopback


def bound_listener(settings: Settings) -> socket.socket | None:
    """Its open socket; None where no key is bound. Raises SetupFailed, also for an address others can reach."""
    if settings.bind_key_file is None and not settings.bind_key.get_secret_value():
        return None
    if not is_loopback(settings.bind_host):
        raise SetupFailed(
            f"a bound key opens this machine alone, and {settings.bind_host} is an address that others reach:"
            " let ATELIER_BIND_HOST be 127.0.0.1"
        )
    return listen(settings.bind_host, settings.bind_port)


async def bound_key(settings: Settings, database: Database, pepper: bytes) -> str:
    """The key in plain text, from its file or its setting. Raises SetupFailed when it opens nothing."""
    key = settings.bind_key.get_secret_value()
    if settings.bind_key_file is not None:
        key = _read(settings)
    try:
        await accounts.authenticate(database, pepper, key)
    except Unauthorized as error:
        raise SetupFailed("the bound key opens nothing here: make one with `atelier keys create`") from error
    return key


def _read(settings: Settings) -> str:
    file = settings.bind_key_file
    try:
        return file.read_text(errors="replace").strip() if file else ""
    except OSError as error:
        raise SetupFailed(
            f"{file} cannot be read ({error.strerror}): name a file with an API key in it"
        ) from error
