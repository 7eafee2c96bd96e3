"""Accounts see everybody's workflows and their own; revisions never change, and earlier ones stay."""

import asyncio

import pytest

from atelier.comfy.graph import canonical
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.workflows import service
from atelier.workflows.manifest import InvalidManifest
from atelier.workflows.model import Origin, Workflow
from atelier.workflows.registry import TOPIC, Registry
from atelier.workflows.service import TooManyWorkflows, WorkflowConflict, WorkflowNotFound
from atelier.workflows.store.revisions import NewRevision
from support import workshop


async def _put(database: Database, new: NewRevision) -> Workflow | None:
    async with database.transaction() as tx:
        return await service.put(tx, new, Origin.SHIPPED)


async def _draft(database: Database, account: AccountId | None, new: NewRevision) -> Workflow:
    async with database.transaction() as tx:
        return await service.save_draft(tx, account, new)


async def _published(database: Database, account: AccountId | None, new: NewRevision) -> Workflow:
    await _draft(database, account, new)
    async with database.transaction() as tx:
        return await service.publish(tx, account, new.manifest.id)


async def test_what_is_put_is_everybodys(database: Database, registry: Registry, account: AccountId) -> None:
    await _put(database, workshop.revision())
    await registry.refresh()

    [found] = registry.listing(account)

    assert (found.id, found.revision, found.account_id, found.origin) == ("boats", 1, None, Origin.SHIPPED)
    assert found.manifest == workshop.manifest()
    assert found.graph == workshop.GRAPH
    assert registry.listing(None) == [found]


async def test_the_same_again_is_no_new_revision(database: Database) -> None:
    first = await _put(database, workshop.revision())
    second = await _put(database, workshop.revision())
    third = await _put(database, workshop.revision(price=4))

    assert (first and first.revision, second, third and third.revision) == (1, None, 2)


async def test_an_imported_workflow_is_its_accounts_alone(
    database: Database, registry: Registry, account: AccountId, stranger: AccountId
) -> None:
    await _published(database, account, workshop.revision("mine"))
    await registry.refresh()

    assert [one.id for one in registry.listing(account)] == ["mine"]
    assert registry.listing(stranger) == registry.listing(None) == []
    for version in (None, 1, "1", "1.0.0"):
        assert (await registry.find(account, "mine", version)).id == "mine"
        for other in (stranger, None):
            with pytest.raises(WorkflowNotFound):
                await registry.find(other, "mine", version)
    with pytest.raises(WorkflowNotFound):
        await registry.versions(stranger, "mine")


async def test_a_foreign_id_is_not_even_told_as_a_near_one(
    database: Database, registry: Registry, account: AccountId, stranger: AccountId
) -> None:
    await _published(database, account, workshop.revision("mine"))
    await registry.refresh()

    with pytest.raises(WorkflowNotFound) as refusal:
        await registry.find(stranger, "mine2")

    assert refusal.value.details == {"workflow_id": "mine2", "nearest": []}


async def test_ones_own_stands_before_everybodys_until_it_is_withdrawn(
    database: Database, registry: Registry, account: AccountId, stranger: AccountId
) -> None:
    await _put(database, workshop.revision(price=1))
    await _published(database, account, workshop.revision(price=2))
    await registry.refresh()

    assert [one.manifest.price for one in registry.listing(account)] == [2]
    assert [one.manifest.price for one in registry.listing(stranger)] == [1]
    async with database.transaction() as tx:
        await service.withdraw(tx, account, "boats")
    await registry.refresh()
    assert (await registry.find(account, "boats")).manifest.price == 1


async def test_nobody_changes_what_is_not_theirs(
    database: Database, account: AccountId, stranger: AccountId
) -> None:
    await _published(database, account, workshop.revision())
    await _draft(database, account, workshop.revision(price=9))

    for other in (stranger, None):
        async with database.transaction() as tx:
            with pytest.raises(WorkflowNotFound):
                await service.withdraw(tx, other, "boats")
            with pytest.raises(WorkflowNotFound):
                await service.rollback(tx, other, "boats", 1)
            with pytest.raises(WorkflowNotFound):
                await service.publish(tx, other, "boats")
            with pytest.raises(WorkflowNotFound):
                await service.update_draft(tx, other, "boats", workshop.revision())
            with pytest.raises(WorkflowNotFound):
                await service.versions(tx, other, "boats")


async def test_a_draft_is_found_by_its_owner_by_its_number_alone(
    database: Database, registry: Registry, account: AccountId, stranger: AccountId
) -> None:
    await _draft(database, account, workshop.revision())
    await registry.refresh()

    assert (await registry.find(account, "boats", 1)).draft
    assert registry.listing(account) == []
    for owner, version in ((account, None), (account, "1.0.0"), (stranger, 1), (None, 1)):
        with pytest.raises(WorkflowNotFound):
            await registry.find(owner, "boats", version)


async def test_a_shared_draft_is_nobodys_to_run(
    database: Database, registry: Registry, account: AccountId
) -> None:
    await _published(database, None, workshop.revision())
    await _draft(database, None, workshop.revision(price=9))
    await registry.refresh()

    with pytest.raises(WorkflowNotFound):
        await registry.find(account, "boats", 2)
    assert [one.revision for one in await registry.versions(account, "boats")] == [1]
    assert [one.revision for one in await registry.versions(None, "boats")] == [2, 1]


async def test_a_draft_is_changed_in_place_and_then_published(
    database: Database, registry: Registry, account: AccountId
) -> None:
    first = await _draft(database, account, workshop.revision(price=1))
    async with database.transaction() as tx:
        changed = await service.update_draft(tx, account, "boats", workshop.revision(price=2))
    again = await _draft(database, account, workshop.revision(price=3))

    async with database.transaction() as tx:
        published = await service.publish(tx, account, "boats")

    assert (first.revision, changed.revision, again.revision, published.revision) == (1, 1, 1, 1)
    assert (published.draft, published.manifest.price) == (False, 3)
    async with database.transaction() as tx:
        with pytest.raises(WorkflowConflict):
            await service.publish(tx, account, "boats")
        with pytest.raises(WorkflowNotFound):
            await service.update_draft(tx, account, "boats", workshop.revision(price=4))


async def test_earlier_revisions_stay_runnable(database: Database, registry: Registry, account: AccountId) -> None:
    for price, version in ((1, "1.0.0"), (2, "1.0.0"), (3, "2.0.0")):
        await _published(database, account, workshop.revision(price=price, version=version))
    await registry.refresh()

    found = [
        (await registry.find(account, "boats", version)).manifest.price for version in (None, 1, "2", "1.0.0")
    ]

    assert found == [3, 1, 2, 2]
    assert [one.revision for one in await registry.versions(account, "boats")] == [3, 2, 1]


async def test_a_rollback_lets_an_earlier_revision_run(
    database: Database, registry: Registry, account: AccountId
) -> None:
    for price in (1, 2):
        await _published(database, account, workshop.revision(price=price))

    async with database.transaction() as tx:
        await service.rollback(tx, account, "boats", 1)
    await registry.refresh()

    assert (await registry.find(account, "boats")).manifest.price == 1
    async with database.transaction() as tx:
        with pytest.raises(WorkflowNotFound):
            await service.rollback(tx, account, "boats", 7)
        with pytest.raises(WorkflowNotFound):
            await service.rollback(tx, account, "boats", 10**12)


async def test_an_unknown_workflow_is_told_with_the_nearest(database: Database, registry: Registry) -> None:
    await _put(database, workshop.revision())
    await registry.refresh()

    with pytest.raises(WorkflowNotFound, match="Did you mean boats") as refusal:
        await registry.find(None, "baots")

    assert refusal.value.details == {"workflow_id": "baots", "nearest": ["boats"]}


async def test_odd_ids_and_versions_are_not_found(registry: Registry, account: AccountId) -> None:
    for workflow_id in ("", "../x", "Boats", "x" * 5000, "a\0b"):
        for version in (None, 1, "1.0.0", "9" * 50, "\0"):
            with pytest.raises(WorkflowNotFound):
                await registry.find(account, workflow_id, version)


async def test_an_odd_version_of_what_is_there_is_not_found(database: Database, registry: Registry) -> None:
    await _put(database, workshop.revision())
    await registry.refresh()

    for version in (0, -1, 2, "9" * 9, "9" * 50, "nope", "", "1\0"):
        with pytest.raises(WorkflowNotFound, match=r"the one that runs is 1\.0\.0, revision 1"):
            await registry.find(None, "boats", version)


async def test_what_another_process_published_is_found_at_once(
    database: Database, registry: Registry, account: AccountId
) -> None:
    await registry.refresh()
    await _published(database, account, workshop.revision())

    assert (await registry.find(account, "boats")).revision == 1


async def test_a_wakeup_brings_what_is_new(
    database: Database, wakeups: Wakeups, registry: Registry, account: AccountId
) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(registry.run())
        await _published(database, account, workshop.revision())
        async with asyncio.timeout(60):
            while not registry.listing(account):
                wakeups.publish(TOPIC)
                await asyncio.sleep(0.01)
        running.cancel()

    assert registry.current(account, "boats") is not None


async def test_a_manifest_that_does_not_fit_its_graph_is_not_saved(database: Database, account: AccountId) -> None:
    made = workshop.revision(outputs=[{"node": "Nowhere"}])

    with pytest.raises(InvalidManifest, match="outputs"):
        await _draft(database, account, made)


async def test_an_import_does_not_take_the_id_of_a_shared_folder(database: Database) -> None:
    await _put(database, workshop.revision())

    with pytest.raises(WorkflowConflict, match="comes from a folder"):
        await _draft(database, None, workshop.revision(price=9))


async def test_a_withdrawn_workflow_begins_anew(
    database: Database, registry: Registry, account: AccountId
) -> None:
    await _published(database, account, workshop.revision(price=1))
    async with database.transaction() as tx:
        await service.withdraw(tx, account, "boats")
    await registry.refresh()
    with pytest.raises(WorkflowNotFound):
        await registry.find(account, "boats", 1)

    again = await _published(database, account, workshop.revision(price=2))

    await registry.refresh()
    assert (again.revision, (await registry.find(account, "boats")).manifest.price) == (2, 2)


async def test_an_account_has_its_number_of_workflows(
    database: Database, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_PER_ACCOUNT", 2)
    for name in ("one", "two"):
        await _draft(database, account, workshop.revision(name))

    with pytest.raises(TooManyWorkflows):
        await _draft(database, account, workshop.revision("three"))
    await _draft(database, account, workshop.revision("two", price=5))


async def test_what_runs_of_an_account_is_bounded_in_all(
    database: Database, account: AccountId, stranger: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = workshop.revision("one")
    monkeypatch.setattr(service, "LARGEST_TOGETHER", len(new.document) + len(canonical(new.graph)) + 100)
    await _published(database, account, new)

    with pytest.raises(TooManyWorkflows, match="withdraw something first"):
        await _published(database, account, workshop.revision("two"))

    await _published(database, account, workshop.revision("one", price=5))
    await _published(database, stranger, workshop.revision("two"))
    await _published(database, None, workshop.revision("three"))


async def test_the_newest_revision_is_its_owners_draft_too(
    database: Database, account: AccountId, stranger: AccountId
) -> None:
    await _published(database, account, workshop.revision())
    await _draft(database, account, workshop.revision(price=5))

    async with database.transaction() as tx:
        newest = await service.newest(tx, account, "boats")
        for owner, workflow_id in ((stranger, "boats"), (None, "boats"), (account, "a\0b")):
            with pytest.raises(WorkflowNotFound):
                await service.newest(tx, owner, workflow_id)

    assert (newest.revision, newest.draft, newest.manifest.price) == (2, True, 5)
    assert newest.graph == workshop.GRAPH


async def test_two_that_save_one_new_workflow_at_once_both_do(database: Database, account: AccountId) -> None:
    async with asyncio.TaskGroup() as group:
        for price in range(4):
            group.create_task(_draft(database, account, workshop.revision(price=price)))

    async with database.transaction() as tx:
        [only] = await service.versions(tx, account, "boats")
    assert only.draft


async def test_many_workflows_of_many_accounts_are_told_apart(database: Database, registry: Registry) -> None:
    accounts = [AccountId(new_uuid()) for _ in range(30)]
    for place, owner in enumerate(accounts):
        await _published(database, owner, workshop.revision(f"own-{place}", price=place))
        await _published(database, owner, workshop.revision("same", price=place))
    await registry.refresh()

    for place, owner in enumerate(accounts):
        assert [one.manifest.price for one in registry.listing(owner)] == [place, place]


async def test_covers_are_read_when_they_are_asked_for(
    database: Database, registry: Registry, account: AccountId
) -> None:
    new = NewRevision(workshop.manifest(), workshop.GRAPH, b"RIFFcover")
    made = await _draft(database, account, new)

    assert made.has_cover
    assert await registry.cover(made) == b"RIFFcover"
