"""What all parts of one dispatcher share."""

from dataclasses import dataclass

import aiohttp

from atelier.dispatch.model import DispatchSettings
from atelier.dispatch.pace import Pace
from atelier.dispatch.telemetry import Telemetry
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
    http: aiohttp.ClientSession
    telemetry: Telemetry
    pace: Pace
