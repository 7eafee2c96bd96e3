"""One simulated server in the test's own loop, and somebody who asks it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from atelier.simulator.config import SimulatorConfig
from support.asking import Asker
from support.replay import simulated


@pytest.fixture
def config(tmp_path: Path) -> SimulatorConfig:
    return SimulatorConfig(directory=tmp_path, control=True)


@pytest.fixture
async def asker(config: SimulatorConfig) -> AsyncGenerator[Asker]:
    async with simulated(config) as base, aiohttp.ClientSession() as session:
        yield Asker(session, base)
