"""An account with a place to be told at, and messages for it, on a real database."""

from collections.abc import AsyncGenerator

import pytest

from atelier.kit.database import Database
from support.receiver import Receiver, receiver
from support.told import Office, make_office


@pytest.fixture
async def office(database: Database) -> Office:
    return await make_office(database)


@pytest.fixture
async def told() -> AsyncGenerator[Receiver]:
    async with receiver() as made:
        yield made
