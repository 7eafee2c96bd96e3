"""A file that a running job has told of is there when its job has ended: whoever asks earlier waits a little.

A client may ask for a picture as soon as `executed` names it (wire contract 7.5), and a ComfyUI has it on its disk
by then; here it is fetched from the server and kept in the transaction that ends the job.
"""

import asyncio

from atelier.assets import naming
from atelier.assets.model import Asset
from atelier.assets.names import FileName, Folder
from atelier.comfy.output_names import positions_in
from atelier.dialects.auth import Call
from atelier.jobs.model import JobState
from atelier.jobs.store import reads
from atelier.kit.database import Database, Tx
from atelier.kit.ids import AccountId
from atelier.kit.wakeups import Subscription

PATIENCE_SECONDS = 10.0
"""A browser opens six connections to one address: no more of a picture that takes long is waited for."""

LOOK_SECONDS = 1.0

_RUNS = frozenset({JobState.RUNNING, JobState.CANCELING})


async def find(call: Call, file: FileName) -> Asset | None:
    """The caller's file; waits for the end of the running job that the name is of."""
    account_id, services = call.caller.account_id, call.services
    async with services.database.autocommit() as tx:
        asset = await naming.find(tx, account_id, file)
    if asset is not None or file.folder is Folder.INPUT or not positions_in(file.name):
        return asset
    with services.wakeups.subscribe(f"account:{account_id}") as news:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await _ended(services.database, account_id, file, news)
        except TimeoutError:
            return None


async def _ended(database: Database, account_id: AccountId, file: FileName, news: Subscription) -> Asset | None:
    while True:
        async with database.autocommit() as tx:
            running = await _in_the_making(tx, account_id, file)
            asset = await naming.find(tx, account_id, file)
        if asset is not None or not running:
            return asset
        await news.wait(LOOK_SECONDS)


async def _in_the_making(tx: Tx, account_id: AccountId, file: FileName) -> bool:
    jobs = [await reads.at_position(tx, account_id, position) for position in positions_in(file.name)]
    return any(job is not None and job.state in _RUNS for job in jobs)
