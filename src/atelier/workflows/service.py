"""Workflows are saved as drafts, published, rolled back and withdrawn; a published revision never changes.

Every function takes the caller's transaction. Whoever commits it wakes the topic `registry.TOPIC`.
"""

from atelier.kit.database import Tx
from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.ids import AccountId
from atelier.workflows.manifest import ID, InvalidManifest
from atelier.workflows.model import Origin, Workflow
from atelier.workflows.store import heads, revisions
from atelier.workflows.store.heads import Head
from atelier.workflows.store.revisions import NewRevision, Version
from atelier.workflows.structure import structure

MOST_PER_ACCOUNT = 500
MOST_SHARED = 10_000
MOST_REVISIONS = 1_000
LARGEST_COVER = 2_000_000
"""Bytes."""
LARGEST_TOGETHER = 20_000_000
"""Bytes of what runs of one account: every process has it in memory, where it takes many times as much."""


class WorkflowNotFound(NotFound):
    """`details.nearest`: ids that are most like the one that was asked for."""

    code = "workflow_not_found"


class WorkflowConflict(Refusal):
    """The id belongs to something else, or there is nothing to publish."""

    kind = Kind.CONFLICT
    code = "workflow_conflict"


class TooManyWorkflows(Refusal):
    kind = Kind.CONFLICT
    code = "too_many_workflows"


async def save_draft(tx: Tx, account_id: AccountId | None, new: NewRevision) -> Workflow:
    """A draft of a new workflow, or of the next revision of one; a draft that is there becomes this one.

    Raises InvalidManifest, WorkflowConflict, TooManyWorkflows.
    """
    head = await _head_for(tx, account_id, new, Origin.IMPORTED)
    last = await revisions.newest(tx, head.key)
    if last and last.draft:
        await revisions.replace_draft(tx, head.key, last.revision, new)
        return await _read(tx, head, last.revision)
    return await _added(tx, head, (last.revision if last else 0) + 1, new, draft=True)


async def update_draft(tx: Tx, account_id: AccountId | None, workflow_id: str, new: NewRevision) -> Workflow:
    """Its draft says this from now on. Raises WorkflowNotFound where there is none, InvalidManifest."""
    _check(new)
    head = await _owned(tx, account_id, workflow_id)
    if new.manifest.id != workflow_id:
        raise WorkflowConflict(f"The manifest is of {new.manifest.id}, not of {workflow_id}.")
    last = await revisions.newest(tx, head.key)
    if last is None or not await revisions.replace_draft(tx, head.key, last.revision, new):
        raise WorkflowNotFound(f"{workflow_id} has no draft.")
    return await _read(tx, head, last.revision)


async def publish(tx: Tx, account_id: AccountId | None, workflow_id: str) -> Workflow:
    """Its draft runs from now on.

    Raises WorkflowNotFound, WorkflowConflict where there is no draft, TooManyWorkflows.
    """
    head = await _owned(tx, account_id, workflow_id)
    last = await revisions.newest(tx, head.key)
    if last is None or not last.draft:
        raise WorkflowConflict(f"{workflow_id} has no draft to publish.")
    await revisions.publish(tx, head.key, last.revision)
    await heads.set_current(tx, head.key, last.revision, head.origin)
    await _check_size(tx, account_id)
    return await _read(tx, head, last.revision)


async def rollback(tx: Tx, account_id: AccountId | None, workflow_id: str, revision: int) -> Workflow:
    """An earlier (or later) revision runs from now on.

    Raises WorkflowNotFound, WorkflowConflict for a draft, TooManyWorkflows.
    """
    head = await _owned(tx, account_id, workflow_id)
    found = await revisions.read(tx, head, revision) if 0 < revision < 2**31 else None
    if found is None:
        raise WorkflowNotFound(f"{workflow_id} has no revision {revision}.")
    if found.draft:
        raise WorkflowConflict(f"Revision {revision} of {workflow_id} is a draft: publish it.")
    await heads.set_current(tx, head.key, revision, head.origin)
    await _check_size(tx, account_id)
    return found


async def withdraw(tx: Tx, account_id: AccountId | None, workflow_id: str) -> None:
    """It is listed and run no more; its jobs stay readable. Raises WorkflowNotFound."""
    head = await _owned(tx, account_id, workflow_id)
    await heads.withdraw(tx, head.key)


async def versions(tx: Tx, account_id: AccountId | None, workflow_id: str) -> list[Version]:
    """All revisions of this owner's workflow, newest first, drafts among them. Raises WorkflowNotFound."""
    return await revisions.every(tx, await _owned(tx, account_id, workflow_id), MOST_REVISIONS)


async def newest(tx: Tx, account_id: AccountId | None, workflow_id: str) -> Workflow:
    """The last revision of this owner's workflow, a draft too. Raises WorkflowNotFound."""
    head = await _owned(tx, account_id, workflow_id)
    last = await revisions.newest(tx, head.key)
    if last is None:
        raise WorkflowNotFound(f"{workflow_id} has no revision.")
    return await _read(tx, head, last.revision)


async def put(tx: Tx, new: NewRevision, origin: Origin) -> Workflow | None:
    """What a folder holds runs for everybody; None when that is nothing new.

    Where its newest revision says the same already, whichever revision runs goes on: an operator may have rolled
    it back. Raises InvalidManifest, WorkflowConflict where an import has the id.
    """
    head = await _head_for(tx, None, new, origin)
    last = await revisions.newest(tx, head.key)
    if last and last.digest == new.digest and not last.draft:
        return await _kept(tx, head, last, new, origin)
    made = await _added(tx, head, (last.revision if last else 0) + 1, new, draft=False)
    await heads.set_current(tx, head.key, made.revision, origin)
    return made


async def _kept(tx: Tx, head: Head, last: revisions.Newest, new: NewRevision, origin: Origin) -> Workflow | None:
    if last.cover != new.cover:
        await revisions.set_cover(tx, head.key, last.revision, new.cover)
    if head.withdrawn or head.current is None or head.origin is not origin:
        await heads.set_current(tx, head.key, head.current or last.revision, origin)
    elif last.cover != new.cover:
        await heads.touch(tx, head.key)
    else:
        return None
    return await _read(tx, head, last.revision)


async def _head_for(tx: Tx, account_id: AccountId | None, new: NewRevision, origin: Origin) -> Head:
    """The workflow that a revision is for, made where there is none."""
    _check(new)
    head = await heads.locked(tx, account_id, new.manifest.id)
    if head is None:
        await _check_room(tx, account_id)
        head = await heads.insert(tx, account_id, new.manifest.id, origin)
        head = head or await heads.locked(tx, account_id, new.manifest.id)
    if head is None:  # another's, not yet committed
        raise WorkflowConflict(f"{new.manifest.id} is being written by somebody else just now.")
    if (head.origin is Origin.IMPORTED) != (origin is Origin.IMPORTED):
        whose = "was imported" if head.origin is Origin.IMPORTED else "comes from a folder"
        raise WorkflowConflict(f"The id {new.manifest.id} is taken by a shared workflow that {whose}.")
    if head.withdrawn and origin is Origin.IMPORTED:
        await heads.reopen(tx, head.key)
    return head


async def _check_room(tx: Tx, account_id: AccountId | None) -> None:
    most = MOST_SHARED if account_id is None else MOST_PER_ACCOUNT
    if await heads.owned(tx, account_id) >= most:
        raise TooManyWorkflows(f"There are {most} workflows already: withdraw one first.")


async def _check_size(tx: Tx, account_id: AccountId | None) -> None:
    if account_id is not None and await heads.running_bytes(tx, account_id) > LARGEST_TOGETHER:
        raise TooManyWorkflows(
            f"What you have published is larger than {LARGEST_TOGETHER} bytes together: withdraw something first."
        )


async def _added(tx: Tx, head: Head, revision: int, new: NewRevision, *, draft: bool) -> Workflow:
    if revision > MOST_REVISIONS:
        raise TooManyWorkflows(f"{head.id} has {MOST_REVISIONS} revisions already: import it under another id.")
    await revisions.add(tx, head.key, revision, new, draft=draft)
    return await _read(tx, head, revision)


async def _owned(tx: Tx, account_id: AccountId | None, workflow_id: str) -> Head:
    head = await heads.locked(tx, account_id, workflow_id) if ID.fullmatch(workflow_id) else None
    if head is None or head.withdrawn:
        raise WorkflowNotFound(f"There is no workflow {workflow_id[:80]!r} of yours.")
    return head


async def _read(tx: Tx, head: Head, revision: int) -> Workflow:
    found = await revisions.read(tx, head, revision)
    if found is None:
        raise WorkflowNotFound(f"{head.id} has no revision {revision}.")
    return found


def _check(new: NewRevision) -> None:
    faults = structure(new.manifest, new.graph)
    if faults:
        raise InvalidManifest(faults)
    if new.cover is not None and len(new.cover) > LARGEST_COVER:
        raise WorkflowConflict(f"The cover image is larger than {LARGEST_COVER} bytes.")
