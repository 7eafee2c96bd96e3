"""Requirement set and lane of a graph, and whether an inventory satisfies it; pure."""

import difflib
import heapq
import json
from collections.abc import Iterable, Mapping
from typing import Any

from blake3 import blake3

from atelier.fleet.inventory import Inventory
from atelier.fleet.loaders import LANE, MODEL_SUFFIXES, PART
from atelier.fleet.model import Missing, ModelRef, Requirement

LONGEST_NAME = 200
LIKELY = 50
"""A difflib ratio costs 0.1 ms, counting common pairs of letters 5 µs: only so many names are compared closely."""


def requirement_of(graph: Mapping[str, Any]) -> Requirement:
    """What a server must have to run this (parsed) graph: its node classes and the model files that it names."""
    return Requirement(
        classes=frozenset(node["class_type"] for node in graph.values()),
        models=frozenset(ref for node in graph.values() for ref in _models(node)),
    )


def lane_of(graph: Mapping[str, Any]) -> str:
    """The large models that this graph loads, sorted, joined by `|`; empty when it loads none."""
    names = {
        value
        for node in graph.values()
        for name in LANE.get(node["class_type"], ())
        if isinstance(value := node["inputs"].get(name), str)
    }
    return "|".join(sorted(names))


def digest_of(requirement: Requirement) -> bytes:
    """The content address of a requirement set: blake3 of its canonical JSON."""
    return blake3(json.dumps(requirement.as_json(), separators=(",", ":")).encode()).digest()


def missing(inventory: Inventory, requirement: Requirement) -> Missing:
    """What this inventory lacks."""
    return Missing(
        classes=frozenset(name for name in requirement.classes if name not in inventory.classes),
        models=frozenset(ref for ref in requirement.models if not _has(inventory, ref)),
    )


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The names most like `name`, best first; case does not count."""
    by_fold: dict[str, str] = {}
    for candidate in known:
        by_fold.setdefault(candidate.casefold()[:LONGEST_NAME], candidate)
    wanted = name.casefold()[:LONGEST_NAME]
    likely = heapq.nlargest(LIKELY, by_fold, key=lambda fold: _alike(wanted, fold))
    return [by_fold[hit] for hit in difflib.get_close_matches(wanted, likely, most, 0.5)]


def _alike(one: str, other: str) -> float:
    """The share of pairs of letters that two names have in common."""
    pairs, others = _pairs(one), _pairs(other)
    return len(pairs & others) / max(len(pairs | others), 1)


def _pairs(text: str) -> set[str]:
    return {text[place : place + 2] for place in range(len(text) - 1)}


def _models(node: Mapping[str, Any]) -> Iterable[ModelRef]:
    class_type = node["class_type"]
    loaders = (*LANE.get(class_type, ()), *PART.get(class_type, ()))
    for name, value in node["inputs"].items():
        if isinstance(value, str) and (name in loaders or value.lower().endswith(MODEL_SUFFIXES)):
            yield ModelRef(class_type, name, value)


def _has(inventory: Inventory, ref: ModelRef) -> bool:
    if ref.class_type not in inventory.classes:
        return True
    options = inventory.options(ref.class_type, ref.input_name)
    return options is None or ref.value in options
