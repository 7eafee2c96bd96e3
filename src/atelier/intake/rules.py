"""Whose files a graph may name: those that an operator put on the servers, and its own account's by core/ASSET.

What Atelier placed or produced on a server lies there for all accounts; a name, even a hash, is not a permission.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from atelier.comfy.graph import Graph, LoaderInput, loader_inputs
from atelier.comfy.prefixes import NO_CATALOGUE
from atelier.comfy.refusals import broken_input, top_error

PLACED = "atelier"
"""The folder below a server's input folder that Atelier places files in."""

_ANNOTATED = re.compile(r"\[(output|temp)\]\s*$", re.IGNORECASE)


def check_files(graph: Graph, catalogues: Iterable[Mapping[str, Any]]) -> None:
    """Raise InvalidWorkflow for an input that names another account's file, or could."""
    for catalogue in (NO_CATALOGUE, *catalogues):
        for named in loader_inputs(graph, catalogue):
            if _is_foreign(named.value):
                raise _refusal(named)


def _is_foreign(value: str) -> bool:
    first, _, rest = value.replace("\\", "/").strip().lstrip("./").partition("/")
    return bool(_ANNOTATED.search(value)) or (bool(rest) and first.casefold() == PLACED)


def _refusal(named: LoaderInput) -> Exception:
    details = (
        f"{named.name} - {named.value!r} may belong to another account: name an asset or an output by core/ASSET"
    )
    error = top_error(
        "custom_validation_failed", "Custom validation failed for node", details, input_name=named.name
    )
    return broken_input(named.node_id, named.class_type, error)
