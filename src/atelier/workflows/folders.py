"""Folders of workflows are brought into the tables as everybody's, and what changes in them while we run is.

A folder that cannot be read keeps the revision that it had, and its faults are told; one that is gone is
withdrawn. A folder is looked at again only when something in it changed, so that an operator's rollback stands,
and processes of different releases do not undo one another's.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import structlog

from atelier.comfy.graph import InvalidWorkflow, WorkflowFormatUi, parse
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.storage.threads import in_thread
from atelier.workflows import manifest as manifests
from atelier.workflows import service
from atelier.workflows.exchanging import exchanged
from atelier.workflows.manifest import InvalidManifest
from atelier.workflows.model import Fault, Origin
from atelier.workflows.registry import TOPIC
from atelier.workflows.service import LARGEST_COVER, TooManyWorkflows, WorkflowConflict
from atelier.workflows.store import heads, kept
from atelier.workflows.store.kept import Kept
from atelier.workflows.store.revisions import NewRevision
from atelier.workflows.structure import structure
from atelier.workflows.written import LARGEST

MANIFEST = "workflow.yaml"
GRAPH = "graph.json"
COVERS = ("cover.webp", "cover.png", "cover.jpg", "cover.jpeg")
LARGEST_GRAPH = 5_000_000
"""Bytes."""
LOOK_SECONDS = 2.0
MOST_FOLDERS = 10_000

Signature: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of the files that make a workflow."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """What a folder holds: a revision, or what is wrong with it."""

    name: str
    origin: Origin
    new: NewRevision | None
    faults: tuple[Fault, ...] = ()


def shipped() -> Traversable:
    """The folder of the workflows that come with Atelier."""
    return files("atelier.workflows") / "shipped"


def read(folder: Traversable, origin: Origin = Origin.FOLDER) -> Read:
    """One folder of a workflow."""
    try:
        manifest = manifests.parse(manifests.load(_bytes(folder, MANIFEST, LARGEST)), folder_id=folder.name)
        new = NewRevision(manifest, _graph(folder), _cover(folder))
        faults = structure(manifest, new.graph)
    except InvalidManifest as refusal:
        return Read(folder.name, origin, None, refusal.faults)
    return Read(folder.name, origin, None if faults else new, tuple(faults))


def _graph(folder: Traversable) -> Any:
    try:
        return parse(json.loads(_bytes(folder, GRAPH, LARGEST_GRAPH)))
    except (InvalidWorkflow, WorkflowFormatUi) as refusal:
        raise InvalidManifest([Fault(GRAPH, refusal.message)]) from None
    except (ValueError, RecursionError) as error:
        raise InvalidManifest([Fault(GRAPH, f"is no JSON: {error}")]) from None


def _cover(folder: Traversable) -> bytes | None:
    name = next((name for name in COVERS if (folder / name).is_file()), None)
    return _bytes(folder, name, LARGEST_COVER) if name else None


def _bytes(folder: Traversable, name: str, most: int) -> bytes:
    """A file of a folder, no more of it than it may have. Raises InvalidManifest."""
    try:
        with (folder / name).open("rb") as file:
            body = file.read(most + 1)
    except FileNotFoundError:
        raise InvalidManifest([Fault(name, "is missing")]) from None
    except OSError as error:
        raise InvalidManifest([Fault(name, f"cannot be read: {error.strerror}")]) from None
    if len(body) > most:
        raise InvalidManifest([Fault(name, f"is larger than {most} bytes")])
    return bytes(body)


@dataclass(slots=True)
class Folders:
    """`own`: the operator's folder; where it is not there, nothing that came from it is touched.

    `exchange`: what this installation calls the files that shipped workflows name. `faults`: of folders that could
    not be read, by name; the registry tells them.
    """

    database: Database
    wakeups: Wakeups
    faults: MutableMapping[str, tuple[Fault, ...]]
    own: Path
    exchange: Mapping[str, str] = field(default_factory=dict[str, str])
    shipped: Traversable = field(default_factory=shipped)
    _seen: dict[str, Signature] = field(default_factory=dict[str, Signature])
    _moving: dict[str, Signature] = field(default_factory=dict[str, Signature])

    async def sync(self) -> None:
        """Everything that the folders hold runs; what came from a folder that is gone does not."""
        now = await in_thread(_signatures, self.own)
        self._seen = now or {}
        every = await in_thread(self._read, self._seen.keys(), _names(self.shipped) - self._seen.keys())
        names = {one.name for one in every}
        async with self.database.autocommit() as tx:
            known = {one.id: one for one in await kept.shared(tx)}
        certain = {Origin.SHIPPED} if now is None else {Origin.SHIPPED, Origin.FOLDER}
        gone = {one.id for one in known.values() if one.origin in certain and not one.withdrawn} - names
        news = [one for one in every if one.new is None or not _is_known(one, known.get(one.name), certain)]
        await self._bring(news, gone)

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (psycopg.Error, OSError) as error:
                _log.warning("workflows.folders_stale", reason=str(error))

    async def look(self) -> None:
        """Take what changed, when it has stood still from one look to the next: nobody is writing any more."""
        now = await in_thread(_signatures, self.own)
        if now is None:
            return
        changed = {name for name, signature in now.items() if self._seen.get(name) != signature}
        still = {name for name in changed if self._moving.get(name) == now[name]}
        gone = self._seen.keys() - now.keys()
        self._moving = {name: now[name] for name in changed - still}
        self._seen = {
            name: now[name] if name in still else seen for name, seen in self._seen.items() if name in now
        }
        self._seen |= {name: now[name] for name in still}
        back = gone & _names(self.shipped)
        if still or gone:
            await self._bring(await in_thread(self._read, still, back), gone - back)

    def _read(self, own: Collection[str], shipped: Collection[str]) -> list[Read]:
        found = [read(self.own / name, Origin.FOLDER) for name in sorted(own)]
        return found + [self._exchanged(read(self.shipped / name, Origin.SHIPPED)) for name in sorted(shipped)]

    def _exchanged(self, one: Read) -> Read:
        if one.new is None:
            return one
        manifest, graph = exchanged(one.new.manifest, one.new.graph, self.exchange)
        return replace(one, new=replace(one.new, manifest=manifest, graph=graph))

    async def _bring(self, every: Sequence[Read], gone: Collection[str]) -> None:
        """Each by itself: what is wrong with one keeps no other from running."""
        for name in gone:
            self.faults.pop(name, None)
            await self._withdraw(name)
        for one in every:
            faults = one.faults or await self._put(one)
            self._tell(one, faults)
        if every or gone:
            self.wakeups.publish(TOPIC)

    async def _put(self, one: Read) -> tuple[Fault, ...]:
        if one.new is None:
            return one.faults
        try:
            async with self.database.transaction() as tx:
                await service.put(tx, one.new, one.origin)
        except (WorkflowConflict, TooManyWorkflows) as refusal:
            return (Fault("id", refusal.message),)
        return ()

    async def _withdraw(self, name: str) -> None:
        async with self.database.transaction() as tx:
            head = await heads.locked(tx, None, name)
            if head is not None and head.origin is not Origin.IMPORTED:
                await heads.withdraw(tx, head.key)

    def _tell(self, one: Read, faults: tuple[Fault, ...]) -> None:
        if faults:
            self.faults[one.name] = faults
            _log.warning("workflows.folder_faulty", folder=one.name, faults=[str(fault) for fault in faults])
        else:
            self.faults.pop(one.name, None)


def _is_known(one: Read, there: Kept | None, certain: Collection[Origin]) -> bool:
    """Whether the table says it already, or says what another process was told by a folder that we do not have."""
    if there is None or one.new is None:
        return False
    if there.origin is Origin.FOLDER and one.origin is Origin.SHIPPED and Origin.FOLDER not in certain:
        return True
    same = (there.origin, there.digest, there.cover) == (one.origin, one.new.digest, one.new.cover_digest)
    return same and there.listed


def _names(folder: Traversable) -> set[str]:
    """The folders in it that are meant to be workflows."""
    if not folder.is_dir():
        return set()
    entries = (entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._")
    return {entry.name for entry in itertools.islice(entries, MOST_FOLDERS) if _is_meant(entry)}


def _is_meant(folder: Traversable) -> bool:
    return any((folder / name).is_file() for name in (MANIFEST, GRAPH))


def _signatures(folder: Path) -> dict[str, Signature] | None:
    """What tells whether something changed, by folder; None where the folder of them all cannot be read."""
    try:
        return {name: _signature(folder / name) for name in _names(folder)} if folder.is_dir() else None
    except OSError:
        return None


def _signature(folder: Path) -> Signature:
    found: list[tuple[str, int, int]] = []
    for name in (MANIFEST, GRAPH, *COVERS):
        with contextlib.suppress(OSError):
            told = (folder / name).stat()
            found.append((name, told.st_size, told.st_mtime_ns))
    return tuple(found)
