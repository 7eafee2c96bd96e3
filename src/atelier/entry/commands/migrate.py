"""The schema is brought up to date before new code runs on it."""

from atelier.entry import state as installation
from atelier.entry.commands import process
from atelier.entry.commands.options import State
from atelier.entry.commands.printing import print_line
from atelier.entry.settings import Settings
from atelier.kit.database import Database
from atelier.kit.migrations import migrate as bring_up_to_date
from atelier.tasks.schema import prepare


def migrate(*, state: State = None) -> None:
    """Bring the database's schema up to date; old code goes on running on it."""
    process.run(_migrate(process.start(state_dir=state)))


async def _migrate(settings: Settings) -> None:
    async with installation.database_url(settings, process.announce) as url:
        database = Database(url, pool_size=2)
        await database.open()
        try:
            ran = await bring_up_to_date(database, installation.SCHEMA)
            await prepare(database)
        finally:
            await database.close()
    print_line(f"ran {', '.join(ran)}" if ran else "the schema was up to date")
