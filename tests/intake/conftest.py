import pytest

from atelier.kit.database import Database
from support.door import Door, make_door


@pytest.fixture
async def door(database: Database) -> Door:
    return await make_door(database)
