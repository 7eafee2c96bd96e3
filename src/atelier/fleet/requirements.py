"""Requirement set and lane of a graph, and whether an inventory satisfies it; pure.

A model file is known by its loader (fleet.loaders), or by being one of the choices that a server offers for this
input and a file of one of its model folders. A minimum of VRAM is no part of a requirement set: no graph says it.
It is learned from a run that had too little, and kept with the job (`jobs.vram_over`).
"""

import difflib
import functools
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from blake3 import blake3

from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.prefixes import PREFIX_INPUT, loader_inputs
from atelier.fleet.inventory import Inventory
from atelier.fleet.loaders import LARGE, MODEL_SUFFIXES, NOT_FILES, folder_of
from atelier.fleet.model import Missing, ModelRef, Requirement

LONGEST_NAME = 200
LONGEST_FILE = 1000
"""Characters. No model file has a longer path; what is longer is what somebody wrote."""

LIKELY = 50
"""A difflib ratio costs 0.1 ms, counting common pairs of letters 5 µs: only so many names are compared closely."""


def requirement_of(graph: Mapping[str, Any], inventories: Iterable[Inventory] = ()) -> Requirement:
    """What a server must have to run this (parsed) graph: its node classes and the model files that it names.

    `inventories` are those of the fleet: they tell loaders of packs that nobody has heard of.
    """
    return Requirement(
        classes=frozenset(node["class_type"] for node in graph.values()),
        models=frozenset(ref for ref, _ in _models(graph, tuple(inventories))),
    )


def lane_of(graph: Mapping[str, Any], inventories: Iterable[Inventory] = ()) -> str:
    """The large models that this graph loads, sorted, joined by `|`; empty when it loads none."""
    return "|".join(sorted({ref.value for ref, folder in _models(graph, tuple(inventories)) if folder in LARGE}))


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


def _models(graph: Mapping[str, Any], inventories: Sequence[Inventory]) -> Iterator[tuple[ModelRef, str]]:
    """The model files that a graph names, each with its folder (empty where that is not known)."""
    files = {(one.node_id, one.name) for one in loader_inputs(dict(graph))}

    @functools.cache
    def offers(class_type: str, name: str) -> Sequence[Inventory] | None:
        return _offers(class_type, name, inventories)

    for node_id, node in graph.items():
        class_type: str = node["class_type"]
        for name, value in node["inputs"].items():
            text = _text(value)
            if text is None or text.lower() in NOT_FILES or (node_id, name) in files:
                continue
            folder = folder_of(class_type, name)
            if folder is None:
                folder = _guessed(class_type, name, text, offers(class_type, name))
            if folder is not None:
                yield ModelRef(class_type, name, text), folder


def _text(value: object) -> str | None:
    """What an input says; of one that is switched on and off (rgthree's Power Lora Loader) what is on."""
    match value:
        case str() if len(value) <= LONGEST_FILE:
            return value
        case {"__type": str() as kind} if kind == ASSET_TYPE:
            return None
        case {"on": True, "lora": str() as name}:
            return name
        case _:
            return None


def _offers(class_type: str, name: str, inventories: Iterable[Inventory]) -> Sequence[Inventory] | None:
    """The servers that offer choices for this input; None where nobody knows the class."""
    knowing = [one for one in inventories if class_type in one.classes]
    return [one for one in knowing if one.options(class_type, name) is not None] if knowing else None


def _guessed(class_type: str, name: str, text: str, choosing: Sequence[Inventory] | None) -> str | None:
    """The folder that a choice of an unknown loader lies in; None when it is no model file.

    A text that somebody wrote is no choice. Where no server knows the class, its ending decides.
    """
    named = text.lower().endswith(MODEL_SUFFIXES) and name != PREFIX_INPUT
    if choosing:
        folders = (one.folders.get(text) for one in choosing if text in (one.options(class_type, name) or ()))
        return next((folder for folder in folders if folder is not None), "" if named else None)
    return "" if named and choosing is None else None


def _has(inventory: Inventory, ref: ModelRef) -> bool:
    if ref.class_type not in inventory.classes:
        return True
    options = inventory.options(ref.class_type, ref.input_name)
    if options is not None:
        return ref.value in options
    folder = folder_of(ref.class_type, ref.input_name)
    files = inventory.files.get(folder) if folder else None
    return files is None or _plain(ref.value) in {_plain(name) for name in files}


def _plain(name: str) -> str:
    """Nodes that offer no choices look for a file by its bare name (rgthree: get_lora_by_filename)."""
    return PurePosixPath(name.replace("\\", "/")).stem
