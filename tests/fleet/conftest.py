import pytest

from atelier.kit.database import Database
from support.yard import Yard, make_yard


@pytest.fixture
async def yard(database: Database) -> Yard:
    return await make_yard(database)
