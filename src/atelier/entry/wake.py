"""A process that lives for one command tells the long-lived ones what changed."""

from psycopg import sql

from atelier.kit.database import Database
from atelier.kit.wakeups import CHANNEL


async def wake(database: Database, *topics: str) -> None:
    """Send wake-ups after the commit, as `Wakeups` would if it lived long enough."""
    async with database.autocommit() as connection:
        for topic in topics:
            await connection.execute(sql.SQL("SELECT pg_notify(%s, %s)"), (CHANNEL, f"command {topic}"))
