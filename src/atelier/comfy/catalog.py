"""A node catalogue is read once, leniently: an entry that cannot be understood is a node without inputs."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

UPLOAD_SUFFIX = "_upload"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One declared input. `type` is a type name, or the list of choices of a classic combo."""

    name: str
    type: Any
    options: Mapping[str, Any]
    required: bool

    @property
    def config(self) -> list[Any]:
        """The pair `[type, options]` that ComfyUI prints beside an error."""
        return [self.type, dict(self.options)]

    @property
    def choices(self) -> list[Any] | None:
        """The allowed values of a combo, written `[[…], {}]` or `["COMBO", {"options": […]}]`; else None."""
        return as_list(self.options.get("options")) if self.type == "COMBO" else as_list(self.type)

    @property
    def is_multiselect(self) -> bool:
        return self.type == "COMBO" and bool(self.options.get("multiselect"))

    @property
    def upload(self) -> str | None:
        """`image`, `video`… where the value names a file of the server's input folder, else None."""
        kinds = (key.removesuffix(UPLOAD_SUFFIX) for key in self.options if key.endswith(UPLOAD_SUFFIX))
        return next((kind for kind in kinds if self.options[kind + UPLOAD_SUFFIX]), None)

    @property
    def is_dynamic(self) -> bool:
        """Whether the input stands for several that appear under other names (`COMFY_AUTOGROW_V3`…)."""
        return isinstance(self.type, str) and self.type.startswith("COMFY_") and "MATCHTYPE" not in self.type


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node class: its inputs in declared order, the types of its outputs, whether it can end a graph."""

    name: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[Any, ...]
    is_output: bool

    def input(self, name: str) -> InputSpec | None:
        return next((spec for spec in self.inputs if spec.name == name), None)


class Catalog:
    """The nodes of one server (or of a fleet) as values, parsed when they are first asked for."""

    def __init__(self, object_info: Mapping[str, Any]) -> None:
        self._raw = object_info
        self._parse = functools.cache(self._parsed)

    def get(self, class_type: object) -> NodeSpec | None:
        """The node class of that name, or None; anything that is not a name is None as well."""
        return self._parse(class_type) if isinstance(class_type, str) else None

    def __contains__(self, class_type: object) -> bool:
        return isinstance(class_type, str) and class_type in self._raw

    def _parsed(self, class_type: str) -> NodeSpec | None:
        return parse_node(class_type, self._raw[class_type]) if class_type in self._raw else None


def parse_node(name: str, raw: object) -> NodeSpec:
    """One entry of `/object_info`, shape as in ComfyUI's `node_info`."""
    entry = as_object(raw) or {}
    groups = as_object(entry.get("input")) or {}
    inputs = (
        _input(key, value, required=group == "required")
        for group in ("required", "optional")
        for key, value in (as_object(groups.get(group)) or {}).items()
    )
    outputs = tuple(as_list(entry.get("output")) or ())
    return NodeSpec(name, tuple(inputs), outputs, is_output=entry.get("output_node") is True)


def _input(name: str, raw: object, *, required: bool) -> InputSpec:
    pair = as_list(raw) or ["*"]
    options = as_object(pair[1]) if len(pair) > 1 else None
    return InputSpec(name, pair[0], options or {}, required)


def as_object(value: object) -> dict[str, Any] | None:
    """The JSON object that `value` is, else None."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[Any] | None:
    """The JSON array that `value` is (a tuple counts), else None."""
    if isinstance(value, list | tuple):
        return list(cast("Sequence[Any]", value))
    return None
