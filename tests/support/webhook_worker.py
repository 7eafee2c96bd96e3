"""A process that sends messages. Argument: the database URL."""

import asyncio
import datetime as dt
import sys

from atelier.kit.database import Database
from atelier.webhooks.delivering import Bounds
from support.told import make_office


async def work(url: str) -> None:
    database = Database(url)
    await database.open()
    office = await make_office(database)
    await office.delivering(Bounds(lease=dt.timedelta(seconds=1))).run()


asyncio.run(work(*sys.argv[1:]))
