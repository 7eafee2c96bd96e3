"""Whose files a graph may name: those that an operator put on the servers, and its own account's by core/ASSET.

What Atelier placed or produced on a server lies there for all accounts; a name, even a hash, is not a permission.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from atelier.comfy.catalog import parse_node
from atelier.comfy.graph import Graph, LoaderInput, loader_inputs
from atelier.comfy.prefixes import PREFIX_INPUT, linked_loaders, stays_inside, texts
from atelier.comfy.refusals import broken_input, top_error
from atelier.fleet.loaders import MODEL_SUFFIXES

PLACED = "atelier"
"""The folder below a server's input folder that Atelier places files in."""

_ANNOTATED = re.compile(r"\[(output|temp)\]\s*$", re.IGNORECASE)


def check_files(graph: Graph, catalogues: Iterable[Mapping[str, Any]]) -> None:
    """Raise InvalidWorkflow for an input that names another account's file, or could."""
    known = tuple(catalogues)
    for named in loader_inputs(graph, *known):
        if is_foreign(named.value) or not stays_inside(named.value):
            raise _refusal(named, f"{named.value[:200]!r} may belong to another account")
    for named in linked_loaders(graph, *known):
        raise _refusal(named, f"which file it is would be known only when node {named.value[:200]!r} has run")
    for named in _folders(graph, known):
        raise _refusal(named, f"{named.value[:200]!r} holds files of all accounts")


def is_foreign(value: str) -> bool:
    """Whether a name may be that of another account's file, whatever server it is read on."""
    first, below = _first_folder(value)
    return bool(_ANNOTATED.search(value)) or (below and first == PLACED)


def _first_folder(value: str) -> tuple[str, bool]:
    """The first part of a path, as Windows reads it too, and whether something comes behind it."""
    first, _, rest = value.replace("\\", "/").strip().lstrip("./").partition("/")
    return first.rstrip(" .").casefold(), bool(rest)


def _folders(graph: Graph, catalogues: Sequence[Mapping[str, Any]]) -> Iterator[LoaderInput]:
    """Choices that name the folder of placed files, or one below: nodes that load whole folders offer it."""

    @functools.cache
    def is_choice(class_type: str, name: str) -> bool:
        return _is_choice(class_type, name, catalogues)

    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            for text in texts(value):
                if _is_placed(text) and name != PREFIX_INPUT and is_choice(node["class_type"], name):
                    yield LoaderInput(node_id, node["class_type"], name, text)


def _is_placed(text: str) -> bool:
    """A model file may lie in a folder of any name: models have folders of their own."""
    return _first_folder(text[:1000])[0] == PLACED and not text.lower().endswith(MODEL_SUFFIXES)


def _is_choice(class_type: str, name: str, catalogues: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a server offers a list for this input; where nobody knows the class, it may."""
    infos = [catalogue[class_type] for catalogue in catalogues if class_type in catalogue]
    specs = [parse_node(class_type, info).input(name) for info in infos]
    return not infos or any(spec is not None and spec.choices is not None for spec in specs)


def _refusal(named: LoaderInput, why: str) -> Exception:
    details = f"{named.name} - {why}: name an asset or an output by core/ASSET"
    error = top_error(
        "custom_validation_failed", "Custom validation failed for node", details, input_name=named.name
    )
    return broken_input(named.node_id, named.class_type, error)
