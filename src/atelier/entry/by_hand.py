"""What an operator does at the command line goes the same way in as everything else."""

import contextlib
import uuid
from collections.abc import AsyncGenerator

from atelier.accounts.model import Caller, Role
from atelier.entry.settings import Settings
from atelier.entry.wake import wake
from atelier.fleet.scene import Limits
from atelier.fleet.view import FleetView
from atelier.intake.service import Intake
from atelier.jobs.outlook import Outlook
from atelier.jobs.service import QueueBounds
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, KeyId
from atelier.kit.wakeups import Wakeups

NOBODY = uuid.UUID(int=0)
HIGHEST_PRIORITY = 10

OPERATOR = Caller(AccountId(NOBODY), KeyId(NOBODY), Role.ADMIN, max_priority=HIGHEST_PRIORITY)
"""Who has the database needs no key; whose job it is, is said where one is made."""


async def fleet_of(opened: Database) -> FleetView:
    """The fleet as it is known now."""
    fleet = FleetView(opened, Wakeups(opened))
    await fleet.refresh()
    return fleet


def outlook(settings: Settings) -> Outlook:
    """What waiting jobs may expect, as seen from this command."""
    limits = Limits(settings.max_running, settings.max_running_per_account, settings.server_jobs_per_minute)
    return Outlook(None, limits)


@contextlib.asynccontextmanager
async def intake(settings: Settings, opened: Database) -> AsyncGenerator[Intake]:
    """The way in; when the context ends, dispatchers hear of what came."""
    yield Intake(
        database=opened,
        fleet=await fleet_of(opened),
        wakeups=Wakeups(opened),
        bounds=QueueBounds(settings.max_queued, settings.max_queued_per_account),
        queue_ttl=settings.queue_ttl,
        retention=settings.retention,
    )
    await wake(opened, "queue")
