"""What a process made of the fleet's catalogue is kept until the fleet says something else."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.catalog import UPLOAD_SUFFIX, InputSpec, as_object, parse_node
from atelier.dialects.comfyui.copies import Copies
from atelier.dialects.comfyui.prepared import Prepared, prepared
from atelier.fleet import pages as server_pages
from atelier.fleet.inventory import Inventory
from atelier.fleet.machine import machine_of
from atelier.fleet.model import Server
from atelier.fleet.pages import Pages
from atelier.fleet.store import catalogs
from atelier.fleet.union import Told, choices_of, ordered, union, version_of, with_choices
from atelier.fleet.view import FleetView
from atelier.kit.database import Database
from atelier.kit.http.answers import compact
from atelier.kit.ids import ServerId

FOLDERS = frozenset({"input", "output", "temp"})
_MARK = "\0gap:"
_GAP = re.compile(rb'\["\\u0000gap:(\d+)"\]')
"""A list that is filled for each account; no text of a server has the character 0 (kit.storable)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A list of an account's own files of one folder; `kind`: what the input takes (`image`, `video`, `file`…)."""

    folder: str
    kind: str


@dataclass(frozen=True, slots=True)
class Spelled:
    """An answer with gaps, and what belongs into them, in order."""

    body: Prepared
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the servers of the fleet can run together, offline ones as well.

    `files` are model files by folder with their sizes in bytes (0: nobody says).
    """

    classes: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, Mapping[str, int]] = field(repr=False)
    whole: Spelled = field(repr=False)

    def one(self, name: str) -> Spelled:
        """The answer for a single class; an empty object for an unknown one."""
        return _spelled({name: self.classes[name]} if name in self.classes else {})


@dataclass(frozen=True, slots=True)
class Added:
    """What the packs of some servers add to the editor, and the answers that tell it."""

    pages: Pages
    translations: Prepared
    templates: Prepared
    subgraphs: Prepared
    replacements: Prepared


class Shelf:
    """One per process. What takes long is made in a thread, by the first who asks."""

    def __init__(self) -> None:
        self._making = asyncio.Lock()
        self._catalogue: tuple[object, Catalogue] | None = None
        self._added: tuple[object, Added] | None = None
        self._known: dict[bytes, Pages] = {}
        self.copies = Copies()

    async def catalogue(self, fleet: FleetView) -> Catalogue:
        """The union of all that the fleet's servers told last."""
        sources = _sources(fleet)
        key = tuple((inventory.digest, version) for inventory, version in sources)
        if self._catalogue is None or self._catalogue[0] != key:
            async with self._making:
                if self._catalogue is None or self._catalogue[0] != key:
                    self._catalogue = (key, await asyncio.to_thread(_catalogue, sources))
        return self._catalogue[1]

    async def added(self, database: Database, servers: Sequence[Server]) -> Added:
        """What the packs of these servers add together; of one that cannot be asked here, what came along."""
        told = await self.pages(database)
        whose = [(told[one.id], bool(one.only_dispatcher)) for one in servers if one.id in told]
        key = tuple(dict.fromkeys((pages.digest, alone) for pages, alone in whose))
        if self._added is None or self._added[0] != key:
            self._added = (key, await asyncio.to_thread(_added, whose))
        return self._added[1]

    async def pages(self, database: Database) -> Mapping[ServerId, Pages]:
        """What each server of the fleet adds; read anew only where it has changed."""
        async with database.autocommit() as tx:
            digests = await catalogs.page_digests(tx)
            missing = set(digests.values()) - self._known.keys()
            read = await catalogs.pages(tx, missing) if missing else []
        known = self._known | {one.digest: one for one in read}
        self._known = {digest: known[digest] for digest in digests.values() if digest in known}
        return {server: known[digest] for server, digest in digests.items() if digest in known}


def _sources(fleet: FleetView) -> list[tuple[Inventory, tuple[int, ...]]]:
    """Each different inventory once, with the newest version of those that have it."""
    inventories = {one.digest: one for one in fleet.inventories()}
    found: dict[bytes, tuple[int, ...]] = {}
    for server in fleet.servers:
        if server.inventory_digest in inventories:
            digest, version = server.inventory_digest, version_of(machine_of(server.system).comfyui_version)
            found[digest] = max(version, found.get(digest, ()))
    return [(inventories[digest], version) for digest, version in found.items()]


def _catalogue(sources: Sequence[tuple[Inventory, tuple[int, ...]]]) -> Catalogue:
    merged = union([Told(inventory.classes, version) for inventory, version in sources])
    classes = {name: ordered(entry) if as_object(entry) else entry for name, entry in merged.items()}
    return Catalogue(classes, _files([inventory for inventory, _ in sources]), _spelled(classes))


def _files(inventories: Iterable[Inventory]) -> dict[str, dict[str, int]]:
    files: dict[str, dict[str, int]] = {}
    for inventory in inventories:
        for folder, names in inventory.files.items():
            mine = files.setdefault(folder, {})
            for name, size in names.items():
                mine[name] = max(size, mine.get(name, 0))
    return files


def _spelled(classes: Mapping[str, Any]) -> Spelled:
    """Spelled class by class: nobody else runs while one text is made, and all together may be 20 MB."""
    gaps: list[Gap] = []
    pieces: list[list[bytes]] = [[b"{"]]
    order: list[Gap] = []
    for number, (name, entry) in enumerate(classes.items()):
        text = compact(entry)
        if UPLOAD_SUFFIX in text:
            text = compact(_marked(name, entry, gaps))
        first, *rest = _GAP.split(f"{',' if number else ''}{compact(name)}:{text}".encode())
        pieces[-1].append(first)
        pieces += [[piece] for piece in rest[1::2]]
        order += [gaps[int(gap)] for gap in rest[::2]]
    pieces[-1].append(b"}")
    return Spelled(Prepared(tuple(b"".join(parts) for parts in pieces)), tuple(order))


def _marked(name: str, entry: object, gaps: list[Gap]) -> object:
    """The class with a mark in each list that an account's own files belong into."""
    body = as_object(entry)
    uploads = {one.name: one for one in parse_node(name, body).inputs if one.upload} if body else {}
    if body is None or not uploads:
        return entry
    groups = as_object(body.get("input")) or {}
    return {**body, "input": {group: _marks(inputs, uploads, gaps) for group, inputs in groups.items()}}


def _marks(inputs: object, uploads: Mapping[str, InputSpec], gaps: list[Gap]) -> object:
    marked = dict(as_object(inputs) or {})
    for name in marked.keys() & uploads.keys():
        if choices_of(marked[name]) is not None:
            marked[name] = with_choices(marked[name], [f"{_MARK}{len(gaps)}"])
            gaps.append(Gap(_folder(uploads[name]), uploads[name].upload or ""))
    return marked if as_object(inputs) is not None else inputs


def _folder(spec: InputSpec) -> str:
    """`image_folder` says where the files are that LoadImageOutput offers (nodes.py, comfy_api/_io.py)."""
    folder = spec.options.get("image_folder")
    return folder if folder in FOLDERS else "input"


def _added(whose: Sequence[tuple[Pages, bool]]) -> Added:
    pages = server_pages.union(pages.with_files_alone() if alone else pages for pages, alone in whose)
    return Added(
        pages,
        translations=prepared(pages.translations),
        templates=prepared(pages.templates),
        subgraphs=prepared({name: _without_data(one) for name, one in pages.subgraphs.items()}),
        replacements=prepared(pages.replacements),
    )


def _without_data(subgraph: Mapping[str, Any]) -> dict[str, Any]:
    """As the list has it (contract, section 2)."""
    return {name: value for name, value in subgraph.items() if name != "data"}
