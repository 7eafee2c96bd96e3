"""Folders become everybody's workflows while we run; a broken one keeps what it had, and says what is wrong."""

import shutil
from pathlib import Path

import pytest

from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.workflows import folders, service
from atelier.workflows.folders import Folders
from atelier.workflows.model import Origin
from atelier.workflows.registry import Registry
from support import workshop


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return tmp_path / "shipped"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@pytest.fixture
def made(database: Database, wakeups: Wakeups, registry: Registry, own: Path, shipped: Path) -> Folders:
    return Folders(database, wakeups, registry.faults, own, shipped=shipped)


async def _prices(registry: Registry) -> dict[str, int]:
    await registry.refresh()
    return {one.id: one.manifest.price for one in registry.listing(None)}


async def _changed(made: Folders) -> None:
    """Two looks: what stands still from one to the next is taken."""
    await made.look()
    await made.look()


async def test_both_folders_are_everybodys(made: Folders, registry: Registry, own: Path, shipped: Path) -> None:
    workshop.write(shipped, "boats", price=1)
    workshop.write(own, "cars", price=2)

    await made.sync()

    assert await _prices(registry) == {"boats": 1, "cars": 2}
    assert [one.origin for one in registry.listing(None)] == [Origin.SHIPPED, Origin.FOLDER]


async def test_ones_own_folder_goes_before_a_shipped_one_and_gives_it_back(
    made: Folders, registry: Registry, own: Path, shipped: Path
) -> None:
    workshop.write(shipped, "boats", price=1)
    await made.sync()
    workshop.write(own, "boats", price=2)
    await _changed(made)
    assert await _prices(registry) == {"boats": 2}

    shutil.rmtree(own / "boats")
    await _changed(made)

    assert await _prices(registry) == {"boats": 1}


async def test_a_change_is_taken_while_we_run(made: Folders, registry: Registry, own: Path) -> None:
    workshop.write(own, price=1)
    await made.sync()
    workshop.write(own, price=2)
    workshop.write(own, "new", price=3)

    await made.look()
    early = await _prices(registry)
    await made.look()

    assert early == {"boats": 1}
    assert await _prices(registry) == {"boats": 2, "new": 3}


async def test_a_folder_that_is_gone_is_withdrawn_and_comes_back(
    made: Folders, registry: Registry, own: Path
) -> None:
    workshop.write(own, price=1)
    await made.sync()
    shutil.rmtree(own / "boats")
    await _changed(made)
    gone = await _prices(registry)

    workshop.write(own, price=1)
    await _changed(made)

    assert gone == {}
    assert await _prices(registry) == {"boats": 1}
    assert [one.revision for one in await registry.versions(None, "boats")] == [1]


async def test_what_went_while_we_were_away_is_withdrawn(
    database: Database, wakeups: Wakeups, made: Folders, registry: Registry, own: Path, shipped: Path
) -> None:
    workshop.write(own, "cars")
    workshop.write(shipped, "boats")
    await made.sync()
    shutil.rmtree(own / "cars")
    shutil.rmtree(shipped / "boats")

    await Folders(database, wakeups, registry.faults, own, shipped=shipped).sync()

    assert await _prices(registry) == {}


async def test_a_folder_of_folders_that_is_away_changes_nothing(
    database: Database, wakeups: Wakeups, made: Folders, registry: Registry, own: Path, shipped: Path
) -> None:
    workshop.write(own, "cars", price=1)
    workshop.write(own, "boats", price=2)
    workshop.write(shipped, "boats", price=3)
    await made.sync()
    shutil.rmtree(own)

    await _changed(made)
    await Folders(database, wakeups, registry.faults, own, shipped=shipped).sync()

    assert await _prices(registry) == {"cars": 1, "boats": 2}


async def test_a_broken_folder_keeps_what_it_had_and_says_what_is_wrong(
    made: Folders, registry: Registry, own: Path
) -> None:
    workshop.write(own, price=1)
    await made.sync()
    (own / "boats" / "workflow.yaml").write_text("name: [")
    await _changed(made)
    broken = dict(registry.faults)

    workshop.write(own, price=2)
    kept = await _prices(registry)
    await _changed(made)

    assert "line" in str(broken["boats"][0])
    assert kept == {"boats": 1}
    assert registry.faults == {}
    assert await _prices(registry) == {"boats": 2}


async def test_a_broken_folder_at_the_start_keeps_what_it_had(
    database: Database, wakeups: Wakeups, made: Folders, registry: Registry, own: Path, shipped: Path
) -> None:
    workshop.write(own, price=1)
    await made.sync()
    (own / "boats" / "graph.json").write_text("{}")

    await Folders(database, wakeups, registry.faults, own, shipped=shipped).sync()

    assert await _prices(registry) == {"boats": 1}
    assert registry.faults["boats"][0].where == "graph.json"


async def test_one_broken_folder_stops_no_other(made: Folders, registry: Registry, own: Path) -> None:
    workshop.write(own, "good")
    workshop.write(own, "bad", version="1")
    (workshop.write(own, "ugly") / "graph.json").unlink()
    (workshop.write(own, "Un named") / "graph.json").write_text("[" * 100_000)
    (own / "empty").mkdir()
    (own / ".git").mkdir()
    (own / "readme.md").write_text("x")

    await made.sync()

    assert list(await _prices(registry)) == ["good"]
    assert set(registry.faults) == {"bad", "ugly", "Un named"}
    assert str(registry.faults["ugly"][0]) == "graph.json: is missing"


async def test_an_id_that_an_import_has_is_told_as_a_fault(
    database: Database, made: Folders, registry: Registry, own: Path
) -> None:
    async with database.transaction() as tx:
        await service.save_draft(tx, None, workshop.revision(price=7))
        await service.publish(tx, None, "boats")
    workshop.write(own, price=1)

    await made.sync()

    assert await _prices(registry) == {"boats": 7}
    assert "was imported" in registry.faults["boats"][0].what


async def test_a_rollback_outlasts_a_restart(
    database: Database, wakeups: Wakeups, made: Folders, registry: Registry, own: Path, shipped: Path
) -> None:
    workshop.write(own, price=1)
    await made.sync()
    workshop.write(own, price=2)
    await _changed(made)
    async with database.transaction() as tx:
        await service.rollback(tx, None, "boats", 1)

    await Folders(database, wakeups, registry.faults, own, shipped=shipped).sync()

    assert await _prices(registry) == {"boats": 1}


async def test_a_cover_alone_is_no_new_revision(made: Folders, registry: Registry, own: Path) -> None:
    folder = workshop.write(own)
    await made.sync()
    (folder / "cover.png").write_bytes(b"\x89PNG one")

    await _changed(made)
    await registry.refresh()

    found = await registry.find(None, "boats")
    assert (found.revision, found.has_cover) == (1, True)
    assert await registry.cover(found) == b"\x89PNG one"


async def test_two_processes_with_one_folder_make_one_revision(
    database: Database, wakeups: Wakeups, made: Folders, registry: Registry, own: Path, shipped: Path
) -> None:
    other = Folders(database, wakeups, {}, own, shipped=shipped)
    workshop.write(own, price=1)
    await made.sync()
    await other.sync()
    workshop.write(own, price=2)

    await _changed(made)
    await _changed(other)

    assert [one.revision for one in await registry.versions(None, "boats")] == [2, 1]


@pytest.mark.parametrize("name", ["workflow.yaml", "graph.json", "cover.webp"])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    folder = workshop.write(tmp_path)
    with (folder / name).open("wb") as file:
        file.truncate(50_000_000)

    read = folders.read(folder)

    assert read.new is None
    assert "is larger than" in str(read.faults[0])


def test_everything_that_is_shipped_can_be_read() -> None:
    reads = [folders.read(folder) for folder in folders.shipped().iterdir() if folder.is_dir()]

    assert {one.name: [str(fault) for fault in one.faults] for one in reads if one.faults} == {}
