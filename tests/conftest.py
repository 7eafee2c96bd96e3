"""What every test of the project may ask for."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "support.fleet",
    "support.postgres",
    "support.postgres_users",
    "support.sharing",
    "support.tasks_workers",
]

settings.register_profile("steady", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
"""No example has to be quick: how fast a busy machine is, is not what is tried."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
