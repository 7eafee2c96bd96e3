"""A graph that parse() lets through cannot kill or wedge a server (behaviour 1-4)."""

from collections.abc import Mapping
from typing import Any, cast

from atelier.comfy.assets import AssetReference, MalformedAsset, assets_in, place_assets
from atelier.comfy.bounds import DEFAULT_LIMITS, Limits, check_bounds
from atelier.comfy.digests import canonical, digest, shape_digest
from atelier.comfy.links import Graph, Link, links, longest_chain, sources
from atelier.comfy.prefixes import LoaderInput, loader_inputs, rewrite_prefixes
from atelier.comfy.refusals import (
    InvalidWorkflow,
    WorkflowFormatUi,
    broken_input,
    broken_node,
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
        details = f"{len(table)} nodes; {limits.nodes} are allowed"
        raise InvalidWorkflow(top_error("invalid_prompt", "The workflow is too big:", details))
    check_bounds(table, limits)
    graph = {_node_id(key): _node(str(key), value) for key, value in table.items()}
    _check_links(graph)
    _check_chains(graph, limits)
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
    if not isinstance(value, dict):
        raise broken_node(node_id, "Cannot execute because a node is not an object.")
    node = cast("dict[str, Any]", value)
    class_type = node.get("class_type")
    if not isinstance(class_type, str) or not class_type:
        message = "Cannot execute because a node is missing the class_type property."
        raise broken_node(node_id, message, "missing_node_type")
    inputs = node.get("inputs")
    if not isinstance(inputs, dict) or not all(
        isinstance(name, str) for name in cast("dict[object, object]", inputs)
    ):
        raise broken_node(node_id, "Cannot execute because a node is missing the inputs property.")
    return node


def _check_links(graph: Graph) -> None:
    for link in links(graph):
        if link.source not in graph:
            raise _bad_link(graph, link, f"node {link.source[:200]!r} is not in the workflow")
        output = graph[link.target]["inputs"][link.name][1]
        if output != link.output or isinstance(output, bool | float) or output < 0:
            raise _bad_link(graph, link, f"{output!r} is not the number of an output")


def _bad_link(graph: Graph, link: Link, why: str) -> InvalidWorkflow:
    value = graph[link.target]["inputs"][link.name]
    error = top_error(
        "bad_linked_input",
        "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        f"{link.name}: {why}",
        input_name=link.name,
        input_config=None,
        received_value=value,
    )
    return broken_input(link.target, graph[link.target]["class_type"], error)


def _check_chains(graph: Graph, limits: Limits) -> None:
    longest, stuck = longest_chain(sources(graph))
    if stuck:
        some = sorted(stuck)[:20]
        error = top_error("dependency_cycle", "Dependency cycle detected", ", ".join(some), cycle_nodes=some)
        raise InvalidWorkflow(error)
    if longest > limits.chain:
        details = f"{longest} nodes feed one another in a row; {limits.chain} are allowed"
        raise InvalidWorkflow(top_error("invalid_prompt", "The workflow is too big:", details))
