"""Who feeds whom in a graph: links as ComfyUI sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

Graph = dict[str, dict[str, Any]]
"""`{node_id: {"class_type": str, "inputs": {name: value}, …}}`: what parse() lets through."""

WRAPPED = "__value__"


@dataclass(frozen=True, slots=True)
class Link:
    """Input `name` of `target` takes output number `output` of `source`."""

    target: str
    name: str
    source: str
    output: int


def links(graph: Graph) -> Iterator[Link]:
    """Every link, in the graph's order; only for graphs whose links parse() has checked."""
    for target, name, (source, output) in raw_links(graph):
        yield Link(target, name, source, int(output))


def raw_links(graph: Graph) -> Iterator[tuple[str, str, tuple[str, float]]]:
    """`(node, input, (source, output))` as the document has them, whatever number the output is."""
    for node_id, node in graph.items():
        for name, value in cast("dict[str, object]", node["inputs"]).items():
            inner = unwrapped(value)
            if is_link(inner):
                source, output = cast("tuple[str, float]", inner)
                yield node_id, name, (source, output)


def unwrapped(value: object) -> object:
    """What a server makes of a value while it validates: it takes lists out of `{"__value__": […]}`.

    It then runs the list as a link, which killed its prompt thread when the node was not there (measured on
    0.3.64), so for us a wrapped link is a link.
    """
    if not isinstance(value, dict):
        return value
    table = cast("dict[str, object]", value)
    return table.get(WRAPPED, table)


def is_link(value: object) -> bool:
    """A list of a string and a number, in any input, declared or not (comfy_execution.graph_utils.is_link)."""
    match value:
        case [str(), int() | float()]:
            return isinstance(value, list)
        case _:
            return False


def sources(graph: Graph) -> dict[str, set[str]]:
    """`{node_id: the nodes that feed it}`."""
    table: dict[str, set[str]] = {node_id: set() for node_id in graph}
    for target, _, (source, _) in raw_links(graph):
        table[target].add(source)
    return table
