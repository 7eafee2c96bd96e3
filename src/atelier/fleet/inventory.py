"""An inventory is what one ComfyUI server can run: its node classes, the choices of their inputs, its model files.

It is made from /object_info without the lists of uploaded files (those change with every upload and are placed
by Atelier itself), so that equal servers have equal, content-addressed inventories, also in memory: one process
keeps one of each.
"""

import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from blake3 import blake3

from atelier.comfy.catalog import Catalog, as_list, as_object, parse_node
from atelier.fleet.loaders import LARGE, LOADERS, NOT_FILES
from atelier.kit.storable import UNFIT, storable

Files = Mapping[str, Mapping[str, int]]
"""Model files by folder (`checkpoints`, `loras`…) with their sizes in bytes; 0 where the server does not say."""

NO_FILES: Files = MappingProxyType({})


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Inventory:
    """`classes` is /object_info: class name to its description, as ComfyUI spells it (contract, section 11)."""

    digest: bytes
    classes: Mapping[str, Any] = field(repr=False)
    files: Files = field(repr=False)
    catalog: Catalog = field(repr=False, compare=False)
    sizes: Mapping[str, int] = field(repr=False, compare=False)
    """Bytes of a model file by its name, in whatever folder it lies; only those that are known."""
    folders: Mapping[str, str] = field(repr=False, compare=False)
    """The folder that a model file lies in, by its name; one of large models before others."""
    _choices: dict[tuple[str, str], frozenset[Any] | None] = field(repr=False, compare=False)

    def options(self, class_type: str, input_name: str) -> frozenset[Any] | None:
        """The allowed values of a combo input; None when the input is free, unknown or filled by uploads."""
        key = (class_type, input_name)
        if key not in self._choices:
            self._choices[key] = self._options(class_type, input_name)
        return self._choices[key]

    def checkpoints(self) -> list[str]:
        """The checkpoint files of this server, sorted."""
        return sorted(self.options("CheckpointLoaderSimple", "ckpt_name") or ())

    def _options(self, class_type: str, input_name: str) -> frozenset[Any] | None:
        node = self.catalog.get(class_type)
        spec = node.input(input_name) if node else None
        if spec is None or spec.upload or spec.choices is None:
            return None
        return frozenset(choice for choice in spec.choices if isinstance(choice, str | int | float))


_KNOWN: weakref.WeakValueDictionary[bytes, Inventory] = weakref.WeakValueDictionary()
"""An inventory may be a hundred megabytes of Python, and a fleet is mostly made of equal servers."""


def from_object_info(object_info: Mapping[str, Any], files: Files = NO_FILES) -> Inventory:
    """The inventory of a server whose /object_info this is, and whose model folders hold these files."""
    classes = {name: _without_uploads(name, entry) for name, entry in object_info.items() if as_object(entry)}
    whole: list[Any] = [classes, {folder: dict(names) for folder, names in files.items()}]
    text = spelled(whole)
    if UNFIT.search(text):
        whole = storable(whole)
        text = spelled(whole)
    return stored(blake3(text.encode()).digest(), *whole)


def stored(digest: bytes, classes: Mapping[str, Any], files: Files) -> Inventory:
    """An inventory as the database keeps it; the one that is in memory already, where there is one."""
    known = _KNOWN.get(digest)
    if known is None:
        sizes = {name: size for names in files.values() for name, size in names.items() if size}
        folders: dict[str, str] = {}
        known = _KNOWN[digest] = Inventory(digest, classes, files, Catalog(classes), sizes, folders, {})
        folders.update(_folders(known))
    return known


def _folders(inventory: Inventory) -> Mapping[str, str]:
    """What a server does not list by folder, its known loaders offer."""
    folders: dict[str, str] = {}
    for class_type, inputs in LOADERS.items():
        for input_name, folder in inputs.items():
            for name in inventory.options(class_type, input_name) or ():
                if isinstance(name, str) and name.lower() not in NOT_FILES:
                    folders[name] = folder
    for folder, names in sorted(inventory.files.items(), key=lambda one: (one[0] in LARGE, one[0])):
        folders.update(dict.fromkeys(names, folder))
    return folders


def spelled(whole: object) -> str:
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))


def _without_uploads(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    uploads = {spec.name for spec in parse_node(name, entry).inputs if spec.upload}
    if not uploads:
        return entry
    groups = as_object(entry.get("input")) or {}
    return {**entry, "input": {group: _emptied(body, uploads) for group, body in groups.items()}}


def _emptied(body: object, uploads: set[str]) -> object:
    inputs = as_object(body)
    if inputs is None:
        return body
    return {name: _no_choices(spec) if name in uploads else spec for name, spec in inputs.items()}


def _no_choices(spec: object) -> list[Any]:
    config = as_list(spec) or [[]]
    kind: Any = [] if isinstance(config[0], list) else config[0]
    options = dict((as_object(config[1]) if len(config) > 1 else None) or {})
    if "options" in options:
        options["options"] = []
    return [kind, options]
