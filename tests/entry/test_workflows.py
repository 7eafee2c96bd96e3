"""An API process knows all workflows before anything is asked of it."""

from pathlib import Path

import pytest

from atelier.entry.settings import load
from atelier.entry.workflows import kept
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.workflows import folders
from atelier.workflows.registry import Registry
from support import workshop


@pytest.fixture
def registry(database: Database) -> Registry:
    return Registry(database, Wakeups(database))


async def _ids(registry: Registry, database: Database, **settings: Path) -> set[str]:
    async with kept(registry, load(**settings), database, Wakeups(database)):
        return {one.id for one in registry.listing(None)}


def _shipped() -> set[str]:
    return {one.name for one in folders.shipped().iterdir() if one.is_dir()}


async def test_what_is_shipped_and_what_is_ones_own_is_there(
    registry: Registry, database: Database, tmp_path: Path
) -> None:
    workshop.write(tmp_path, "boats")

    ids = await _ids(registry, database, workflows_dir=tmp_path)

    assert ids == {"boats"} | _shipped()
    assert registry.faults == {}


async def test_the_folder_beside_is_taken_unless_another_is_named(
    registry: Registry, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.write(tmp_path / "workflows", "boats")
    monkeypatch.chdir(tmp_path)

    assert "boats" in await _ids(registry, database)


async def test_a_named_folder_that_is_not_there_is_told_and_stops_nothing(
    registry: Registry, database: Database, tmp_path: Path
) -> None:
    ids = await _ids(registry, database, workflows_dir=tmp_path / "nowhere")

    assert ids == _shipped()
    assert "is no folder" in registry.faults["nowhere"][0].what
