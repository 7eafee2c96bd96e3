"""A process with a worker. Its task `hold` notes each start and goes on until its name is in the table `released`.

Arguments: the database URL and a name for this worker.
"""

import asyncio
import os
import sys

from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.tasks import Rhythm, Tasks

RHYTHM = Rhythm(heartbeat=0.2, stalled=1.0, poll=0.2, grace=0.5)


async def work(url: str, name: str) -> None:
    database = Database(url)
    await database.open()

    async def hold(what: str) -> None:
        async with database.autocommit() as tx:
            await tx.execute("INSERT INTO starts (task, worker) VALUES (%s, %s)", (what, name))
        while True:
            async with database.autocommit() as tx:
                found = await tx.execute("SELECT FROM released WHERE task = %s AND worker = %s", (what, name))
            if found.rowcount:
                break
            await asyncio.sleep(0.05)

    async def die(what: str) -> None:
        async with database.autocommit() as tx:
            await tx.execute("INSERT INTO starts (task, worker) VALUES (%s, %s)", (what, name))
        os._exit(1)

    tasks = Tasks(database, Wakeups(database), rhythm=RHYTHM, take_over_tries=2)
    tasks.add("hold", hold)
    tasks.add("die", die)
    await tasks.run()


asyncio.run(work(*sys.argv[1:]))
