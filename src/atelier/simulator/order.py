"""Nodes run in the order in which ComfyUI would pick them: outputs and what feeds them first, then as discovered.

The rules as observed: from each output node upstream, cached nodes are left out; among nodes that wait for nothing
an output node (or one that only waits) goes first, then one that feeds such a node, then one that feeds that one,
else the first found.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.catalog import as_list, as_object


def links(node: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
    """(input name, source id, slot) of each linked input of a node."""
    for name, value in (as_object(node.get("inputs")) or {}).items():
        match as_list(value):
            case [str(source), int(slot)]:
                yield name, source, slot
            case _:
                continue


@dataclass(slots=True)
class Order:
    """The nodes of one run that have not been executed."""

    graph: Mapping[str, Any]
    is_urgent: Callable[[str], bool]
    is_done: Callable[[str], bool]
    _waits_for: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    _feeds: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _held: set[str] = field(default_factory=set[str])

    def add(self, output_id: str) -> None:
        """An output node and everything upstream of it that is not cached."""
        found = [output_id]
        while found:
            node_id = found.pop()
            if node_id in self._waits_for:
                continue
            sources = [source for _, source, _ in links(self.graph[node_id]) if not self.is_done(source)]
            self._waits_for[node_id] = set(sources)
            for source in sources:
                self._feeds.setdefault(source, []).append(node_id)
            found.extend(source for source in sources if source in self.graph)

    def pick(self) -> str | None:
        """The node to run next, or None at the end (or when only a cycle is left)."""
        waiting = self._waits_for.items()
        ready = [node_id for node_id, sources in waiting if not sources and node_id not in self._held]
        for distance in range(3):
            for node_id in ready:
                if self._feeds_output(node_id, distance):
                    return node_id
        return ready[0] if ready else None

    def hold(self, node_id: str) -> None:
        """The node has started and waits: do not pick it again."""
        self._held.add(node_id)

    def done(self, node_id: str) -> None:
        del self._waits_for[node_id]
        for fed in self._feeds.pop(node_id, ()):
            if fed in self._waits_for:
                self._waits_for[fed].discard(node_id)

    def _feeds_output(self, node_id: str, distance: int) -> bool:
        if distance == 0:
            return self.is_urgent(node_id)
        return any(self._feeds_output(fed, distance - 1) for fed in self._feeds.get(node_id, ()))
