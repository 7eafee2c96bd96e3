"""All workflows as one process knows them, at most seconds old; who asks sees everybody's and its own.

Those that run are kept in memory; earlier revisions and drafts are read when they are asked for, and published
ones kept for a while. An account's own workflow stands before a shared one of the same id.
"""

import asyncio
import collections
import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

import psycopg
import structlog

from atelier.fleet.requirements import nearest
from atelier.kit.database import Database
from atelier.kit.ids import AccountId
from atelier.kit.wakeups import Wakeups
from atelier.workflows import service
from atelier.workflows.manifest import ID, InvalidManifest
from atelier.workflows.model import Fault, Workflow
from atelier.workflows.service import WorkflowNotFound
from atelier.workflows.store import durations, heads, revisions
from atelier.workflows.store.heads import Head
from atelier.workflows.store.revisions import Version

TOPIC = "workflows"
REFRESH_SECONDS = 5.0
OVERLAP = dt.timedelta(seconds=60)
"""A change is seen by others when its transaction ends, which may be after a later one's; none lasts so long."""
AT_ONCE = 25
"""Workflows that are read and parsed in one go; others are served between two of them."""
MOST_KEPT = 500
"""Earlier revisions in memory."""

Owner: TypeAlias = AccountId | None

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NUMBER = re.compile(r"[0-9]{1,9}")
_LABEL = re.compile(r"[A-Za-z0-9._+-]{1,40}")
_log = structlog.get_logger(__name__)


class Registry:
    """`faults` are those of folders that could not be read, by the folder's name."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self.faults: dict[str, tuple[Fault, ...]] = {}
        self._database = database
        self._wakeups = wakeups
        self._heads: dict[int, Head] = {}
        self._running: dict[Owner, dict[str, Workflow]] = {}
        self._kept: collections.OrderedDict[tuple[int, int], Workflow] = collections.OrderedDict()
        self._seen = _EPOCH
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Keep it fresh until cancelled."""
        with self._wakeups.subscribe(TOPIC) as woken:
            while True:
                try:
                    await self.refresh()
                except (psycopg.Error, OSError) as error:
                    _log.warning("workflows.registry_stale", reason=str(error))
                await woken.wait(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read what changed since the last time; whoever wrote something itself calls this to see it at once."""
        async with self._one_at_a_time:
            async with self._database.autocommit() as tx:
                changed = await heads.changed(tx, self._seen - OVERLAP if self._seen > _EPOCH else _EPOCH)
            fresh = [head for head in changed if self._heads.get(head.key) != head]
            for first in range(0, len(fresh), AT_ONCE):
                await self._take(fresh[first : first + AT_ONCE])
            if changed:
                self._seen = max(self._seen, changed[-1].changed_at)

    def listing(self, account_id: Owner) -> list[Workflow]:
        """What this account can run, as it runs now, by id: everybody's and its own. None: everybody's alone."""
        found = {**self._running.get(None, {}), **self._running.get(account_id, {})}
        return [found[workflow_id] for workflow_id in sorted(found)]

    def current(self, account_id: Owner, workflow_id: str) -> Workflow | None:
        """The revision that runs unless another is named; None where this account has none."""
        own = self._running.get(account_id, {}).get(workflow_id)
        return own or self._running.get(None, {}).get(workflow_id)

    async def find(self, account_id: Owner, workflow_id: str, version: str | int | None = None) -> Workflow:
        """A workflow that this account may run. Raises WorkflowNotFound.

        `version`: a number is a revision, any other text the newest revision that is called so. A draft is found
        by its owner, by its number.
        """
        found = await self._found(account_id, workflow_id, version)
        if found is None:
            await self.refresh()  # it may have been published elsewhere a moment ago
            found = await self._found(account_id, workflow_id, version)
        if found is None:
            raise self._not_found(account_id, workflow_id, version)
        return found

    async def versions(self, account_id: Owner, workflow_id: str) -> list[Version]:
        """Its revisions, newest first; drafts only of one's own. Raises WorkflowNotFound."""
        async with self._database.transaction() as tx:
            for owner in self._owners(account_id):
                try:
                    every = await service.versions(tx, owner, workflow_id)
                except WorkflowNotFound:
                    continue
                if shown := [one for one in every if owner == account_id or not one.draft]:
                    return shown
        raise self._not_found(account_id, workflow_id, None)

    async def cover(self, workflow: Workflow) -> bytes | None:
        """Its cover image: WebP, PNG or JPEG."""
        async with self._database.autocommit() as tx:
            return await revisions.cover(tx, workflow.key, workflow.revision)

    async def averages(self, shapes: Collection[bytes]) -> dict[bytes, float]:
        """Seconds that graphs of these shapes ran, by shape; what never ran is left out."""
        async with self._database.autocommit() as tx:
            return await durations.averages(tx, shapes)

    async def _found(self, account_id: Owner, workflow_id: str, version: str | int | None) -> Workflow | None:
        if not ID.fullmatch(workflow_id):
            return None
        if version is None:
            return self.current(account_id, workflow_id)
        for owner in self._owners(account_id):
            found = await self._version(owner, workflow_id, str(version))
            if found and (not found.draft or owner == account_id):
                return found
        return None

    def _owners(self, account_id: Owner) -> Sequence[Owner]:
        return (None,) if account_id is None else (account_id, None)

    async def _version(self, owner: Owner, workflow_id: str, version: str) -> Workflow | None:
        current = self._running.get(owner, {}).get(workflow_id)
        if current and version in {str(current.revision), current.manifest.version}:
            return current
        if not _LABEL.fullmatch(version):
            return None
        head = await self._head(owner, workflow_id)
        if head is None or head.withdrawn:
            return None
        number = int(version) if _NUMBER.fullmatch(version) else None
        kept = self._kept.get((head.key, number)) if number else None
        if kept is not None:
            self._kept.move_to_end((kept.key, kept.revision))
            return kept
        async with self._database.autocommit() as tx:
            if number is None:
                found = await revisions.labelled(tx, head, version)
            else:
                found = await revisions.read(tx, head, number)
        return self._keep(found)

    async def _head(self, owner: Owner, workflow_id: str) -> Head | None:
        """A draft of something unpublished is not among those that run."""
        async with self._database.autocommit() as tx:
            return await heads.find(tx, owner, workflow_id)

    def _keep(self, found: Workflow | None) -> Workflow | None:
        """A published revision never changes."""
        if found is not None and not found.draft:
            self._kept[found.key, found.revision] = found
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    async def _take(self, fresh: Sequence[Head]) -> None:
        async with self._database.autocommit() as tx:
            rows = await revisions.currents(tx, [head for head in fresh if head.listed])
        read = {head.key: found for head, row in rows if (found := _read(head, row))}
        for head in fresh:
            former = self._heads.get(head.key)
            if former is not None:
                self._running.get(former.account_id, {}).pop(former.id, None)
            self._heads[head.key] = head
            if head.key in read:
                self._running.setdefault(head.account_id, {})[head.id] = read[head.key]
        await asyncio.sleep(0)

    def _not_found(self, account_id: Owner, workflow_id: str, version: str | int | None) -> WorkflowNotFound:
        current = self.current(account_id, workflow_id)
        if current and version is not None:
            return WorkflowNotFound(
                f"{workflow_id} has no version {str(version)[:40]!r}; the one that runs is"
                f" {current.manifest.version}, revision {current.revision}.",
                details={"workflow_id": workflow_id, "nearest": [current.manifest.version]},
            )
        near = nearest(workflow_id, self._ids(account_id))
        perhaps = f" Did you mean {' or '.join(near)}?" if near else ""
        return WorkflowNotFound(
            f"There is no workflow {workflow_id[:80]!r}.{perhaps}",
            details={"workflow_id": workflow_id[:80], "nearest": near},
        )

    def _ids(self, account_id: Owner) -> Iterator[str]:
        for owner in self._owners(account_id):
            yield from self._running.get(owner, {})


def _read(head: Head, row: Sequence[object]) -> Workflow | None:
    """What an Atelier of another release wrote may be wrong for this one: then it does not run here."""
    try:
        return revisions.workflow(head, row)
    except InvalidManifest as refusal:
        _log.error("workflows.unreadable", workflow=head.id, reason=refusal.message)
        return None


def shown_faults(faults: Mapping[str, Sequence[Fault]]) -> list[dict[str, str]]:
    """Faults of folders as JSON."""
    return [
        {"folder": folder, "where": one.where, "what": one.what}
        for folder, several in sorted(faults.items())
        for one in several
    ]
