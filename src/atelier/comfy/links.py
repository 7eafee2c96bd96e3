"""Who feeds whom in a graph: links as ComfyUI sees them, and the order that they force."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

Graph = dict[str, dict[str, Any]]
"""`{node_id: {"class_type": str, "inputs": {name: value}, …}}`: what parse() lets through."""


@dataclass(frozen=True, slots=True)
class Link:
    """Input `name` of `target` takes output number `output` of `source`."""

    target: str
    name: str
    source: str
    output: int


def links(graph: Graph) -> Iterator[Link]:
    """Every link, in the graph's order."""
    for node_id, node in graph.items():
        for name, value in cast("dict[str, object]", node["inputs"]).items():
            if is_link(value):
                source, output = cast("tuple[str, float]", value)
                yield Link(node_id, name, source, int(output))


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
    for link in links(graph):
        table[link.target].add(link.source)
    return table


def longest_chain(feeds: Mapping[str, set[str]]) -> tuple[int, frozenset[str]]:
    """The number of nodes in the longest chain, and the nodes in a cycle or behind one."""
    waiting = {node_id: len(feeders) for node_id, feeders in feeds.items()}
    fed: dict[str, list[str]] = {node_id: [] for node_id in feeds}
    for node_id, feeders in feeds.items():
        for feeder in feeders:
            fed[feeder].append(node_id)
    depth = dict.fromkeys(feeds, 1)
    ready = [node_id for node_id, count in waiting.items() if count == 0]
    placed = 0
    while ready:
        node_id = ready.pop()
        placed += 1
        for after in fed[node_id]:
            depth[after] = max(depth[after], depth[node_id] + 1)
            waiting[after] -= 1
            if waiting[after] == 0:
                ready.append(after)
    stuck = (
        frozenset(node_id for node_id, count in waiting.items() if count)
        if placed < len(feeds)
        else frozenset[str]()
    )
    return max(depth.values(), default=0), stuck
