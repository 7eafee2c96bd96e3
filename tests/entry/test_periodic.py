"""What the clock does to jobs is told in words to their owners."""

from pathlib import Path

import pytest

from atelier.entry.periodic import Rounds
from atelier.entry.roles import Foundation, outlook_of, storage_of
from atelier.entry.settings import load
from atelier.entry.state import secrets_of
from atelier.fleet.view import FleetView
from atelier.jobs.model import JobState
from atelier.jobs.relay import Relay
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.workflows.registry import Registry
from support.yard import Yard, make_yard


@pytest.fixture
async def yard(database: Database) -> Yard:
    return await make_yard(database)


@pytest.fixture
def ground(database: Database, tmp_path: Path) -> Foundation:
    settings, wakeups = load(state_dir=tmp_path), Wakeups(database)
    secrets, storage = secrets_of(settings), storage_of(settings)
    view, relay = FleetView(database, wakeups), Relay(database, wakeups)
    return Foundation(settings, database, secrets, storage, wakeups, view, relay, Registry(database, wakeups))


async def test_a_job_that_waited_too_long_is_told_what_for(ground: Foundation, yard: Yard) -> None:
    overdue = await yard.submit(queue_ttl=-1.0)
    await yard.run("UPDATE jobs SET created_at = now() - interval '2 h'")

    await Rounds(ground, outlook_of(ground)).expire()

    ended = await yard.read(overdue.id)
    assert ended.state is JobState.EXPIRED
    assert ended.error is not None
    assert ended.error.message == "It waited 2 h and was still waiting: no server is registered."
