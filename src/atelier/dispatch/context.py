"""What all parts of one dispatcher share."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from atelier.dispatch.finishing import Finishing
from atelier.dispatch.learning import AT_ONCE
from atelier.dispatch.model import DispatchSettings
from atelier.dispatch.pace import Pace
from atelier.dispatch.telemetry import Telemetry
from atelier.fleet.view import FleetView
from atelier.jobs.relay import Relay
from atelier.kit.database import Database
from atelier.kit.ids import DispatcherId
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage


@dataclass(frozen=True, slots=True)
class Context:
    me: DispatcherId
    settings: DispatchSettings
    database: Database
    storage: Storage
    wakeups: Wakeups
    relay: Relay
    http: aiohttp.ClientSession
    telemetry: Telemetry
    pace: Pace
    view: FleetView
    finishing: Finishing = field(default_factory=Finishing)
    learning: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
