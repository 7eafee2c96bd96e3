"""Most commands open the installation's database, ask one thing of it, and print what it says."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from atelier.entry.commands import process
from atelier.entry.settings import Settings
from atelier.entry.state import database
from atelier.kit import units
from atelier.kit.database import Database, Tx
from atelier.kit.errors import Refusal

THE_SETTINGS = "default"
"""The word that gives a limit back to the settings."""


@contextlib.asynccontextmanager
async def opened(state: Path | None) -> AsyncGenerator[tuple[Settings, Database]]:
    """The installation's settings and its open database."""
    settings = process.start(state_dir=state)
    async with database(settings, process.announce) as found:
        yield settings, found


@contextlib.asynccontextmanager
async def transaction(state: Path | None) -> AsyncGenerator[Tx]:
    """One transaction on the installation's database."""
    async with opened(state) as (_, found), found.transaction() as tx:
        yield tx


def seconds(text: str) -> float:
    """`90`, `30m`, `7d`. Raises Refusal with the cure."""
    try:
        read = units.seconds(text)
    except ValueError as error:
        raise Refusal(f"{text!r} is no duration: {error}") from error
    return read if isinstance(read, float) else 0.0


def count_or_default(text: str) -> int | None:
    """A whole number; None for `default`. Raises Refusal."""
    if text == THE_SETTINGS:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise Refusal(
            f"{text!r} is no limit: write a whole number, 0 for none, or {THE_SETTINGS!r} for the setting's"
        )
    return int(text)


def seconds_or_default(text: str) -> float | None:
    """A duration; None for `default`. Raises Refusal."""
    return None if text == THE_SETTINGS else seconds(text)
