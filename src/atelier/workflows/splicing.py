"""A graph is changed in place: inputs are set, nodes added under ids that nothing else has, and taken out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from atelier.comfy.links import Graph, is_link, unwrapped
from atelier.workflows.model import Binding
from atelier.workflows.places import Nodes, taken

NUMBERED: Final = re.compile(r"\{n(?::0([1-9]))?\}")
"""The place in a list, in the name of an input: `{n}`, or `{n:02}` for at least two digits."""

IMAGE_LOADERS = frozenset({"LoadImage", "LoadImageMask", "LoadImageOutput"})

LONGEST_NUMBER = 9
"""Digits of an id that new ones are counted from."""


@dataclass(slots=True)
class Splice:
    """A graph of our own, and what its nodes were called before anything was changed."""

    graph: Graph
    nodes: Nodes
    _last: int = -1

    def find(self, said: str) -> str:
        """The node that is meant; there is one."""
        node_id = self.nodes.find(said)
        if node_id is None:
            raise KeyError(said)
        return node_id

    def node(self, binding: Binding) -> str:
        return self.find(binding.node)

    def get(self, binding: Binding) -> Any:
        return self._inputs(binding).get(binding.input)

    def set(self, binding: Binding, value: Any) -> None:
        self._inputs(binding)[binding.input] = value

    def unset(self, binding: Binding) -> None:
        self._inputs(binding).pop(binding.input, None)

    def add(self, class_type: str, **inputs: Any) -> str:
        """A node of its own id; numbers, for packs that count with them."""
        if self._last < 0:
            self._last = max((int(one) for one in self.graph if _counts(one)), default=0)
        self._last += 1
        while str(self._last) in self.graph:
            self._last += 1
        node_id = str(self._last)
        self.graph[node_id] = {"inputs": inputs, "class_type": class_type}
        return node_id

    def take_out(self, node_id: str) -> None:
        """The node is gone, and so are the inputs that took something of it, and nodes that took nothing else."""
        gone = [node_id]
        while gone:
            here = gone.pop()
            for target, name, _ in list(taken(self.graph, here)):
                inputs = self.graph[target]["inputs"]
                del inputs[name]
                if not any(is_link(unwrapped(value)) for value in inputs.values()):
                    gone.append(target)
            self.graph.pop(here, None)

    def forget_loader(self, former: object) -> None:
        """The loader of a file that this link came from goes, if nothing else takes it: it stood for another."""
        for node_id in linked(former):
            is_loader = self.graph.get(node_id, {}).get("class_type") in IMAGE_LOADERS
            if is_loader and not any(taken(self.graph, node_id)):
                del self.graph[node_id]

    def _inputs(self, binding: Binding) -> dict[str, Any]:
        node = self.graph.get(self.node(binding))
        return {} if node is None else node["inputs"]


def numbered(pattern: str, place: int) -> str:
    """`lora_{n:02}` at place 1 is `lora_01`."""
    return NUMBERED.sub(lambda found: str(place).zfill(int(found[1] or 1)), pattern)


def linked(value: object) -> Iterator[str]:
    """The node that a value is a link to, if it is one."""
    match unwrapped(value):
        case [str() as node_id, int() | float()]:
            yield node_id
        case _:
            return


def _counts(node_id: str) -> bool:
    return node_id.isascii() and node_id.isdigit() and len(node_id) <= LONGEST_NUMBER
