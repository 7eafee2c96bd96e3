"""An inventory is what one ComfyUI server can run: its node classes and the choices of their inputs.

It is made from /object_info without the lists of uploaded files (those change with every upload and are placed
by Atelier itself), so that equal servers have equal, content-addressed inventories.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from blake3 import blake3

from atelier.comfy.catalog import Catalog, as_list, as_object, parse_node

_UNFIT = re.compile(r"NaN|Infinity|\\u0000|\\ud[89a-f]")
"""What custom nodes write as bounds and in texts although JSON has no such thing, as json.dumps spells it."""

ENDLESS = 1e18
"""Stands for an infinite bound: larger than any value that an input is given."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """`classes` is /object_info: class name to its description, as ComfyUI spells it (contract, section 11)."""

    digest: bytes
    classes: Mapping[str, Any] = field(repr=False)
    catalog: Catalog = field(repr=False, compare=False)
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


def from_object_info(object_info: Mapping[str, Any]) -> Inventory:
    """The inventory of a server whose /object_info this is."""
    classes = {name: _without_uploads(name, entry) for name, entry in object_info.items() if as_object(entry)}
    text = _spelled(classes)
    if _UNFIT.search(text):
        classes = _storable(classes)
        text = _spelled(classes)
    return stored(blake3(text.encode()).digest(), classes)


def stored(digest: bytes, classes: Mapping[str, Any]) -> Inventory:
    """An inventory as the database keeps it."""
    return Inventory(digest, classes, Catalog(classes), {})


def _spelled(classes: Mapping[str, Any]) -> str:
    return json.dumps(classes, sort_keys=True, separators=(",", ":"))


def _storable(value: Any) -> Any:
    """The same without what PostgreSQL's jsonb refuses: infinite bounds, NUL, half surrogate pairs."""
    match value:
        case float() if not math.isfinite(value):
            return None if math.isnan(value) else math.copysign(ENDLESS, value)
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case dict():
            return {_storable(key): _storable(member) for key, member in cast("dict[str, Any]", value).items()}
        case list():
            return [_storable(member) for member in cast("list[Any]", value)]
        case _:
            return value


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
