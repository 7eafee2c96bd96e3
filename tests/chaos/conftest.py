from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tools.chaos.processes import Fleet, processes

SETTINGS: dict[str, str] = {
    "lease_heartbeat": "0.4",
    "lease_hold": "1",
    "lease_expiry": "1.5",
    "lost_server_after": "1.5",
    "drain": "0.5",
}


@pytest.fixture
async def fleet(tmp_path: Path, database_url: str) -> AsyncGenerator[Fleet]:
    """Roles as processes of their own on the database of this test, with short leases."""
    async with processes(tmp_path, database_url, SETTINGS) as started:
        yield started
