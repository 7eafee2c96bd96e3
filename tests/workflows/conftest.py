"""A registry over a real database, and accounts that have nothing but an id."""

import pytest

from atelier.kit.database import Database
from atelier.kit.ids import AccountId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.workflows.registry import Registry


@pytest.fixture
def wakeups(database: Database) -> Wakeups:
    return Wakeups(database)


@pytest.fixture
def registry(database: Database, wakeups: Wakeups) -> Registry:
    return Registry(database, wakeups)


@pytest.fixture
def account() -> AccountId:
    return AccountId(new_uuid())


@pytest.fixture
def stranger() -> AccountId:
    return AccountId(new_uuid())
