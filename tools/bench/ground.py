"""What a measured installation stands on: settings of its own, accounts with keys, a fleet that is known."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.entry.settings import Settings, load
from atelier.entry.state import secrets_of
from atelier.fleet import service as fleet
from atelier.kit.database import Database

READY_SECONDS = 60.0


def settings_of(state: Path) -> Settings:
    """Those of an installation that keeps everything in `state`, whatever this person's environment says."""
    return load(state_dir=state, database_url="", key_pepper="", link_secret="")


async def keys(database: Database, settings: Settings, count: int) -> list[str]:
    """One member's key for each of `count` accounts of its own."""
    pepper = secrets_of(settings).pepper
    made: list[str] = []
    async with database.transaction() as tx:
        for number in range(count):
            account = await accounts.ensure_account(tx, f"account-{number}")
            made.append((await accounts.create_key(tx, pepper, account.id, Role.MEMBER))[1])
    return made


async def register(database: Database, urls: Sequence[str]) -> None:
    """These servers are in the fleet; dispatchers that start later drive them."""
    async with database.transaction() as tx:
        for url in urls:
            await fleet.add(tx, url)


async def fleet_known(database: Database, count: int) -> None:
    """Until `count` servers have told what they can run."""
    async with asyncio.timeout(READY_SECONDS):
        while await _known(database) < count:  # noqa: ASYNC110 - the dispatcher is another process
            await asyncio.sleep(0.05)


async def _known(database: Database) -> int:
    async with database.autocommit() as connection:
        rows = await connection.execute(
            "SELECT count(*) FROM servers WHERE health = 'ready' AND inventory_digest IS NOT NULL"
        )
        row = await rows.fetchone()
    return int(row[0]) if row else 0
