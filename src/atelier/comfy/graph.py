"""A graph that parse() lets through cannot kill or wedge a server (behaviour 1-4)."""

from collections.abc import Mapping
from typing import Any, cast

from atelier.comfy.assets import AssetReference, MalformedAsset, assets_in, place_assets
from atelier.comfy.bounds import DEFAULT_LIMITS, Limits, check_bounds
from atelier.comfy.digests import canonical, digest, shape_digest
from atelier.comfy.effort import key_work, longest_chain, order, size
from atelier.comfy.links import Graph, Link, links, raw_links, sources
from atelier.comfy.prefixes import LoaderInput, loader_inputs, rewrite_prefixes, stays_inside
from atelier.comfy.refusals import (
    InvalidWorkflow,
    WorkflowFormatUi,
    broken_input,
    broken_node,
    too_big,
    top_error,
)

__all__ = [
    "AssetReference",
    "Graph",
    "InvalidWorkflow",
    "Limits",
    "Link",
    "LoaderInput",
    "MalformedAsset",
    "WorkflowFormatUi",
    "assets_in",
    "canonical",
    "digest",
    "links",
    "loader_inputs",
    "output_nodes",
    "parse",
    "place_assets",
    "rewrite_prefixes",
    "shape_digest",
]


def parse(document: object, limits: Limits = DEFAULT_LIMITS) -> Graph:
    """The graph that `document` (parsed JSON) is. Raises InvalidWorkflow or WorkflowFormatUi, nothing else."""
    if not isinstance(document, dict):
        raise InvalidWorkflow(top_error("no_prompt", "No prompt provided", "The workflow must be an object."))
    table = cast("dict[object, object]", document)
    if _is_ui_format(table):
        raise WorkflowFormatUi
    if not table:
        raise InvalidWorkflow(top_error("prompt_no_outputs", "Prompt has no outputs"))
    if len(table) > limits.nodes:
        raise too_big(f"{len(table)} nodes; {limits.nodes} are allowed")
    check_bounds(table, limits)
    graph = {_node_id(key): _node(str(key), value) for key, value in table.items()}
    _check_links(graph)
    _check_effort(graph, limits)
    _check_files(graph)
    return graph


def output_nodes(graph: Graph, object_info: Mapping[str, Any]) -> list[str]:
    """The nodes that make a prompt worth running: those whose class says `output_node` on this server."""
    return [node_id for node_id, node in graph.items() if _is_output(object_info.get(node["class_type"]))]


def _is_output(info: object) -> bool:
    return isinstance(info, Mapping) and cast("Mapping[str, object]", info).get("output_node") is True


def _is_ui_format(table: Mapping[object, object]) -> bool:
    return isinstance(table.get("nodes"), list) and isinstance(table.get("links", []), list | dict)


def _node_id(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise broken_node(str(key), "Cannot execute because a node's id is not a text.")
    return key


def _node(node_id: str, value: object) -> dict[str, Any]:
    """The node without `is_changed`: servers write it into graphs, and take one that is there as their own."""
    if not isinstance(value, dict):
        raise broken_node(node_id, "Cannot execute because a node is not an object.")
    node = cast("dict[str, Any]", value)
    class_type = node.get("class_type")
    if not isinstance(class_type, str) or not class_type:
        message = "Cannot execute because a node is missing the class_type property."
        raise broken_node(node_id, message, "missing_node_type")
    inputs = node.get("inputs")
    if not isinstance(inputs, dict) or not _all_text(cast("dict[object, object]", inputs)):
        raise broken_node(node_id, "Cannot execute because a node is missing the inputs property.")
    return {key: member for key, member in node.items() if key != "is_changed"}


def _all_text(table: Mapping[object, object]) -> bool:
    return all(isinstance(key, str) for key in table)


def _check_links(graph: Graph) -> None:
    for target, name, (source, output) in raw_links(graph):
        if source not in graph:
            raise _bad_link(graph, target, name, f"node {source[:200]!r} is not in the workflow")
        if not isinstance(output, int) or isinstance(output, bool) or output < 0:
            raise _bad_link(graph, target, name, f"{output!r} is not the number of an output")


def _bad_link(graph: Graph, target: str, name: str, why: str) -> InvalidWorkflow:
    error = top_error(
        "bad_linked_input",
        "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        f"{name}: {why}",
        input_name=name,
        input_config=None,
        received_value=graph[target]["inputs"][name],
    )
    return broken_input(target, graph[target]["class_type"], error)


def _check_effort(graph: Graph, limits: Limits) -> None:
    feeds = sources(graph)
    found = order(feeds)
    if found.stuck:
        some = sorted(found.stuck)[:20]
        error = top_error("dependency_cycle", "Dependency cycle detected", ", ".join(some), cycle_nodes=some)
        raise InvalidWorkflow(error)
    longest = longest_chain(feeds, found.placed)
    if longest > limits.chain:
        raise too_big(f"{longest} nodes feed one another in a row; {limits.chain} are allowed")
    sizes = {node_id: size(node["inputs"]) for node_id, node in graph.items()}
    if sum(sizes.values()) * len(graph) > limits.work and key_work(feeds, found.placed, sizes) > limits.work:
        raise too_big("its nodes depend on one another in too many ways; split it into several")


def _check_files(graph: Graph) -> None:
    for loaded in loader_inputs(graph):
        if not stays_inside(loaded.value):
            details = f"{loaded.name} - Invalid file: {loaded.value[:200]}"
            error = top_error(
                "custom_validation_failed",
                "Custom validation failed for node",
                details,
                input_name=loaded.name,
                received_value=loaded.value[:200],
            )
            raise broken_input(loaded.node_id, loaded.class_type, error)
