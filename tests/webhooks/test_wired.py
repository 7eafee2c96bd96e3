"""Whoever runs the background's work tells of jobs, with the settings of the installation."""

from pathlib import Path

import pytest

from atelier.entry import periodic
from atelier.entry.roles import Foundation, storage_of
from atelier.entry.settings import load
from atelier.entry.state import secrets_of
from atelier.fleet.view import FleetView
from atelier.jobs.relay import Relay
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.webhooks import service
from atelier.workflows.registry import Registry
from support.receiver import Receiver
from support.stage import Stage
from support.told import loopback_outbound
from support.yard import make_yard


@pytest.fixture
def ground(database: Database, tmp_path: Path) -> Foundation:
    settings = load(state_dir=tmp_path, outbound_allow="127.0.0.1", public_url="https://studio.example.com/")
    wakeups = Wakeups(database)
    secrets, storage = secrets_of(settings), storage_of(settings)
    view, relay = FleetView(database, wakeups), Relay(database, wakeups)
    return Foundation(settings, database, secrets, storage, wakeups, view, relay, Registry(database, wakeups))


async def test_the_end_of_a_job_reaches_whoever_is_to_be_told(ground: Foundation, told: Receiver) -> None:
    yard = await make_yard(ground.database)
    stage = Stage(ground.database, ground.wakeups, ground.storage)
    async with ground.database.transaction() as tx:
        made = await service.create(tx, loopback_outbound(), yard.account_id, told.url)

    async with periodic.running(ground):
        job = await yard.submit()
        await stage.succeed(await stage.start(job.id))
        [received] = await told.until(1)

    [output] = received.document["data"]["outputs"]
    assert received.signed_by(made.secret)
    assert received.document["data"]["id"] == str(job.id)
    assert output["url"].startswith("https://studio.example.com/files/")
    assert received.headers["User-Agent"].startswith("Atelier/")
