"""A workflow that comes with Atelier names files; an installation that has others exchanges them as it is loaded.

A name is exchanged wherever it stands alone: as an input of a node, as the default or a choice of a parameter,
in an example. Nothing that merely contains it is touched, so a prompt that mentions a file stays as it is.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atelier.comfy.catalog import as_list, as_object
from atelier.comfy.graph import Graph
from atelier.workflows.model import Example, Kind, Manifest, Parameter

_NAMING = frozenset({Kind.MODEL, Kind.ENUM, Kind.LORAS})
"""Kinds whose values name files, or what a node offers in their place."""


def exchanged(manifest: Manifest, graph: Graph, files: Mapping[str, str]) -> tuple[Manifest, Graph]:
    """Both with every name of `files` (old to new) exchanged."""
    if not files:
        return manifest, graph
    parameters = tuple(_parameter(one, files) for one in manifest.parameters)
    naming = {one.name for one in parameters if one.kind in _NAMING}
    examples = tuple(_example(one, naming, files) for one in manifest.examples)
    changed = {
        node_id: {**node, "inputs": {name: _named(value, files) for name, value in node["inputs"].items()}}
        for node_id, node in graph.items()
    }
    return replace(manifest, parameters=parameters, examples=examples), changed


def _parameter(one: Parameter, files: Mapping[str, str]) -> Parameter:
    if one.kind not in _NAMING:
        return one
    named = [replace(choice, value=files.get(choice.value, choice.value)) for choice in one.choices]
    choices = tuple({choice.value: choice for choice in reversed(named)}.values())[::-1]
    return replace(one, default=_value(one.default, files), choices=choices)


def _example(one: Example, naming: set[str], files: Mapping[str, str]) -> Example:
    params = {name: _value(value, files) if name in naming else value for name, value in one.params.items()}
    return replace(one, params=params)


def _named(value: Any, files: Mapping[str, str]) -> Any:
    return files.get(value, value) if isinstance(value, str) else value


def _value(value: Any, files: Mapping[str, str]) -> Any:
    """A name, or a list of LoRAs by their names or with their strengths."""
    several = as_list(value)
    return _named(value, files) if several is None else [_lora(one, files) for one in several]


def _lora(one: Any, files: Mapping[str, str]) -> Any:
    table = as_object(one)
    return _named(one, files) if table is None else {**table, "name": _named(table.get("name"), files)}
