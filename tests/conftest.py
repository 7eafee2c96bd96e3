"""What every test of the project may ask for."""

import pytest

pytest_plugins = ["support.fleet", "support.postgres", "support.postgres_users", "support.tasks_workers"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
