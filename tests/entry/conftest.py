import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from atelier.simulator.config import SimulatorConfig
from support.fleet import simulator
from support.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    inherited = os.environ  # noqa: TID251 - programs are started with what this one has, less our own names
    kept = {name: value for name, value in inherited.items() if not name.startswith(("ATELIER_", "COMFY"))}
    return Terminal(tmp_path, kept)


@pytest.fixture
async def simulator_url(tmp_path: Path) -> AsyncGenerator[str]:
    """A ComfyUI without any model."""
    async with simulator(SimulatorConfig(directory=tmp_path / "comfy", checkpoints=(), models={})) as url:
        yield url
