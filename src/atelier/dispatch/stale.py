"""A server that refuses what it should have is asked anew what it has: our list of it may be out of date."""

from atelier.comfy.errors import LostServer
from atelier.dispatch.pulse import Pulse
from atelier.fleet import requirements
from atelier.fleet.store import catalogs
from atelier.kit.database import Database


async def lacks(database: Database, pulse: Pulse, requirement_id: int) -> bool:
    """Whether the server lacks something of this requirement set. Raises LostServer when it does not tell."""
    if not await pulse.learn_now() or pulse.inventory is None:
        raise LostServer("it does not say what it can run")
    async with database.transaction() as tx:
        known = await catalogs.requirements(tx, [requirement_id])
    return bool(requirements.missing(pulse.inventory, known[requirement_id]))
