"""Procrastinate's tables are made once, from the package's own file, and only that version works on them."""

import hashlib
import importlib.util
from pathlib import Path

from psycopg import sql

from atelier.kit.database import Database, Tx
from atelier.kit.errors import SetupFailed

LOCK = 0x54_41_53_4B_53  # advisory lock: "TASKS"

OURS = b"""
-- No NOTIFY in the caller's transaction: it would serialise every commit of the database. We wake after it.
ALTER TABLE procrastinate_jobs DISABLE TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1;
-- "Does another task with this lock wait or run?" is asked at every fetch.
CREATE INDEX procrastinate_jobs_live_lock ON procrastinate_jobs (lock) WHERE status IN ('todo', 'doing');
"""


async def prepare(database: Database) -> bool:
    """Make the tables if they are not there. True when they were made now; several processes may race."""
    body = schema_file().read_bytes()
    version = f"procrastinate schema {hashlib.sha256(body).hexdigest()[:16]}"
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL lock_timeout = '30s'")
        await tx.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        found = await _version(tx)
        if found is None:
            await _make(tx, body, version)
        elif found != version:
            raise SetupFailed(
                f"the tables of the background tasks are of another version ({found}, needed: {version}):"
                " install the versions named in requirements/run.txt"
            )
    return found is None


def schema_file() -> Path:
    """Found without importing the package, which only workers need."""
    spec = importlib.util.find_spec("procrastinate")
    if spec is None or spec.origin is None:
        raise SetupFailed("the package procrastinate is not installed: install requirements/run.txt")
    return Path(spec.origin).parent / "sql" / "schema.sql"


async def _version(tx: Tx) -> str | None:
    row = await (
        await tx.execute(
            "SELECT coalesce(obj_description(table_id, 'pg_class'), 'unknown')"
            " FROM to_regclass('procrastinate_jobs') AS table_id WHERE table_id IS NOT NULL"
        )
    ).fetchone()
    return None if row is None else str(row[0])


async def _make(tx: Tx, body: bytes, version: str) -> None:
    await tx.execute(body)
    await tx.execute(OURS)
    await tx.execute(sql.SQL("COMMENT ON TABLE procrastinate_jobs IS {}").format(sql.Literal(version)))
