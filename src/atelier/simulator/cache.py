"""What a node made is kept while the next prompt asks for the same node and inputs, however it is numbered.

As ComfyUI's default cache: the key of a node is its class, its values and the keys of its sources, so ids do not
count; only what the prompt that runs now can use survives.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import as_object
from atelier.simulator.order import links


@dataclass(frozen=True, slots=True)
class Kept:
    """The outputs of a node, and what it shows (`ui`), if it shows anything."""

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None
    meta: dict[str, Any]


class OutputCache:
    """Belongs to the worker thread. `changed` tells what else a node depends on (a file's digest, the time)."""

    def __init__(self, changed: Callable[[Mapping[str, Any]], str | None]) -> None:
        self._changed = changed
        self._kept: dict[str, Kept] = {}
        self._keys: dict[str, str] = {}
        self._graph: Mapping[str, Any] = {}
        self._marks: dict[str, str] = {}

    def begin(self, graph: Mapping[str, Any]) -> None:
        """A prompt starts: what it cannot use is dropped."""
        told = {node_id: self._changed(node) for node_id, node in graph.items()}
        self._graph = graph
        self._marks = {node_id: mark for node_id, mark in told.items() if mark is not None}
        self._keys = signatures(graph, self._marks)
        wanted = set(self._keys.values())
        self._kept = {key: kept for key, kept in self._kept.items() if key in wanted}

    def get(self, node_id: str) -> Kept | None:
        return self._kept.get(self._keys.get(node_id, ""))

    def keep(self, node_id: str, kept: Kept) -> None:
        self._kept[self._keys[node_id]] = kept

    def clear(self) -> None:
        self._kept.clear()

    def marked(self) -> Mapping[str, Any]:
        """The graph as a saved image carries it: nodes that look at files bear the digest that they saw."""
        marks = {node_id: {**self._graph[node_id], "is_changed": [mark]} for node_id, mark in self._marks.items()}
        return {**self._graph, **marks}


def signatures(graph: Mapping[str, Any], marks: Mapping[str, str]) -> dict[str, str]:
    """A key for each node that stands for its class, its values and all upstream; a cycle ends in a mark."""
    keys: dict[str, str] = {}
    for start in graph:
        path = [start]
        on_path = {start}
        while path and path[-1] not in keys:
            node_id = path[-1]
            sources = (source for _, source, _ in links(graph[node_id]))
            waiting = next(
                (one for one in sources if one in graph and one not in keys and one not in on_path), None
            )
            if waiting is not None:
                path.append(waiting)
                on_path.add(waiting)
                continue
            keys[node_id] = _signature(graph[node_id], keys, marks.get(node_id))
            on_path.discard(path.pop())
    return keys


def _signature(node: Mapping[str, Any], keys: Mapping[str, str], mark: str | None) -> str:
    inputs = dict(as_object(node.get("inputs")) or {})
    for name, source, slot in links(node):
        inputs[name] = {"from": keys.get(source, "?"), "slot": slot}
    told = json.dumps([node.get("class_type"), mark, inputs], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
