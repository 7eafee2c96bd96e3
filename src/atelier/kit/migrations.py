"""The schema is a row of numbered SQL files; each runs once, in order, in one transaction, under one lock."""

from collections.abc import Sequence
from pathlib import Path

import psycopg

from atelier.kit.database import Database, Tx
from atelier.kit.errors import SetupFailed

LOCK = 0x41_54_45_4C_49_45_52  # advisory lock: "ATELIER"


async def migrate(database: Database, folder: Path) -> Sequence[str]:
    """Bring the schema up to date. Gives the names of the files that ran now; several processes may race."""
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = 0")
        await tx.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await tx.execute(
            "CREATE TABLE IF NOT EXISTS schema_files"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {name for (name,) in await (await tx.execute("SELECT name FROM schema_files")).fetchall()}
        fresh = [(name, body) for name, body in _files(folder) if name not in done]
        for name, body in fresh:
            await _apply(tx, name, body)
    return [name for name, _ in fresh]


def _files(folder: Path) -> list[tuple[str, bytes]]:
    return [(file.name, file.read_bytes()) for file in sorted(folder.glob("[0-9]*.sql"))]


async def _apply(tx: Tx, name: str, body: bytes) -> None:
    try:
        await tx.execute(body)
    except psycopg.Error as error:
        raise SetupFailed(f"the database schema could not be brought up to date ({name}): {error}") from error
    await tx.execute("INSERT INTO schema_files (name) VALUES (%s)", (name,))
