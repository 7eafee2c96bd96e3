"""What a prompt is refused with: always `error` and `node_errors`, in the words of ComfyUI's servers of 2026."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from atelier.assets.service import MissingAssets
from atelier.comfy import validation_errors as errors
from atelier.comfy.catalog import InputSpec, as_object
from atelier.comfy.graph import AssetReference, Graph, InvalidWorkflow, LoaderInput, WorkflowFormatUi, assets_in
from atelier.comfy.validation import Verdict
from atelier.fleet.view import FleetView, told_errors
from atelier.kit.errors import Kind, Refusal

MOST_TOLD = 100
"""Faulty nodes in one answer."""

LONGEST_NAME = 200
LONGEST_TEXT = 2_000
MOST_MEMBERS = 200

_JUDGED = frozenset({"dependency_cycle", "prompt_outputs_failed_validation"})
"""What a server finds as well, and says in its own way; such a graph is well-formed and of bearable size."""


class PromptRefused(Refusal):
    """`details` is what ComfyUI answers 400 with: `{"error": {…}, "node_errors": {…}}`."""

    kind = Kind.INVALID
    code = "invalid_prompt"


def refused(error: Mapping[str, Any], node_errors: Mapping[str, Any] | None = None) -> PromptRefused:
    """Values that the client sent are repeated in it, but no megabytes of them."""
    told = clipped({"error": error, "node_errors": node_errors or {}})
    return PromptRefused(f"{told['error']['message']} {told['error']['details']}".strip(), details=told)


def clipped(value: Any, depth: int = 12) -> Any:
    """The same without what is longer than anybody reads."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
    if isinstance(value, dict | list) and depth == 0:
        return None
    if isinstance(value, dict):
        some = itertools.islice(cast("dict[str, Any]", value).items(), MOST_MEMBERS)
        return {key[:LONGEST_TEXT]: clipped(member, depth - 1) for key, member in some}
    if isinstance(value, list):
        return [clipped(member, depth - 1) for member in cast("list[Any]", value)[:MOST_MEMBERS]]
    return value


def verdict_beside(
    fleet: FleetView, document: object, refusal: Refusal, targets: Sequence[str] | None = None
) -> Verdict | None:
    """A server's own verdict on a graph that was refused here for what a server sees as well."""
    error = (refusal.details or {})["error"]
    graph = as_object(document)
    return fleet.verdict(graph, targets) if graph is not None and error["type"] in _JUDGED else None


def in_native_words(
    fleet: FleetView, document: object, refusal: InvalidWorkflow | WorkflowFormatUi
) -> PromptRefused:
    """What a server would have said of a graph that never reaches one; where it would be silent, why not."""
    details = refusal.details or {}
    error = cast("Mapping[str, Any]", details["error"])
    graph = as_object(document) or {}
    if (verdict := verdict_beside(fleet, document, refusal)) is not None and verdict.error is not None:
        return refused(verdict.error, told_errors(verdict))
    if isinstance(refusal, WorkflowFormatUi):
        error = errors.missing_node_type("nodes", None, "nodes") | {"message": refusal.message}
    elif (node_id := error["extra_info"].get("node_id")) in graph:
        error = _of_node(str(node_id), as_object(graph[node_id]) or {}) or error
    return refused(error, details["node_errors"])


def _of_node(node_id: str, node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is wrong with a node that names no class, or is no node at all."""
    if isinstance(node.get("class_type"), str) and node["class_type"]:
        return None
    title = (as_object(node.get("_meta")) or {}).get("title", node_id)
    return errors.missing_node_type(node_id, None, title)


def unknown_files(named: Iterable[LoaderInput]) -> PromptRefused:
    """Files that nobody has, as LoadImage and its kind say it (nodes.LoadImage.VALIDATE_INPUTS)."""
    return _bad_files((one, f"Invalid {_kind(one)} file: {one.value[:LONGEST_NAME]}") for one in named)


def _kind(named: LoaderInput) -> str:
    return next((kind for kind in ("audio", "video", "latent") if kind in named.class_type.lower()), "image")


def gone_files(graph: Graph, missing: MissingAssets) -> PromptRefused:
    """Assets that the account does not have, or has no more."""
    ids = set(cast("list[str]", (missing.details or {}).get("missing_ids", [])))
    return _bad_files(_assets_of(graph, ids))


def _assets_of(graph: Graph, ids: set[str]) -> Iterable[tuple[LoaderInput, str]]:
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            for one in assets_in({node_id: {**node, "inputs": {name: value}}}):
                told = one.id if isinstance(one, AssetReference) else one.path
                if told in ids:
                    yield LoaderInput(node_id, node["class_type"], name, told), f"Invalid file: {told}"


def _bad_files(found: Iterable[tuple[LoaderInput, str]]) -> PromptRefused:
    node_errors: dict[str, Any] = {}
    for one, reason in found:
        entry = node_errors.setdefault(
            one.node_id, {"errors": [], "dependent_outputs": [], "class_type": one.class_type}
        )
        spec = InputSpec(one.name, "COMBO", {}, required=True)
        entry["errors"].append(errors.custom_validation_failed(spec, reason))
        if len(node_errors) >= MOST_TOLD:
            break
    told = [fault for entry in node_errors.values() for fault in entry["errors"]]
    return refused(errors.outputs_failed(told), node_errors)
