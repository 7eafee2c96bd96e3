"""What a graph is about is read from its wires: which texts reach a sampler as its prompt, which do not."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import InputSpec
from atelier.comfy.links import Graph, is_link
from atelier.workflows.converting.classes import Classes

MOST_STEPS = 5_000
TEXTS = (
    "text",
    "prompt",
    "value",
    "string",
    "text_g",
    "text_l",
    "clip_l",
    "t5xxl",
    "text_positive",
    "positive_prompt",
)
MADE = frozenset({"LATENT", "GUIDER", "IMAGE"})
"""First outputs of nodes that are told what to show. Nodes in between make CONDITIONING."""

POSITIVE = "positive"
NEGATIVE = "negative"


@dataclass(frozen=True, slots=True)
class Place:
    """One input of one node that holds a value."""

    node: str
    input: str


class Traces:
    """A graph with the classes of its nodes."""

    def __init__(self, graph: Graph, classes: Classes) -> None:
        self.graph = graph
        self.classes = classes

    def specs(self, node_id: str) -> Sequence[InputSpec]:
        """The declared inputs of a node's class; none of one that nobody knows."""
        node_class = self.classes.get(self.graph[node_id]["class_type"])
        return node_class.inputs if node_class else ()

    def spec(self, node_id: str, name: str) -> InputSpec | None:
        return next((one for one in self.specs(node_id) if one.name == name), None)

    def value(self, node_id: str, name: str) -> Any:
        """A value that stands there itself; None where there is a link or nothing."""
        value = self.graph[node_id]["inputs"].get(name)
        return None if is_link(value) else value

    def fed(self, node_id: str, name: str) -> tuple[str, int] | None:
        """The node and output that feed an input."""
        match self.graph[node_id]["inputs"].get(name):
            case [str(origin), int(output)] if origin in self.graph:
                return origin, output
            case _:
                return None

    def of_input(self, node_id: str, name: str) -> Place | None:
        """Where the value of an input stands: there, or in the one value of a node that feeds it."""
        for _ in range(20):
            if self.value(node_id, name) is not None:
                return Place(node_id, name)
            source = self.fed(node_id, name)
            if source is None:
                return None
            node_id, name = source[0], self._only_input(source[0])
            if not name:
                return None
        return None

    def _only_input(self, node_id: str) -> str:
        """The input of a node that only hands on a value (PrimitiveInt, PrimitiveString…)."""
        inputs: Mapping[str, Any] = self.graph[node_id]["inputs"]
        return "value" if "value" in inputs else next(iter(inputs), "") if len(inputs) == 1 else ""

    def samplers(self) -> list[str]:
        """Nodes that are told what to show and what not, and nodes that are told what to show alone."""
        sides = [
            one for one in self.graph if self._takes(one, POSITIVE, "CONDITIONING") and self._makes_latents(one)
        ]
        guiders = [one for one in self.graph if self._is_guider(one)]
        return [*sides, *guiders]

    def _makes_latents(self, node_id: str) -> bool:
        node_class = self.classes.get(self.graph[node_id]["class_type"])
        outputs = node_class.outputs if node_class else ()
        return "LATENT" in outputs[:1] or any(one in {"STEPS", "IMAGE", "GUIDER"} for one in outputs[:1])

    def _is_guider(self, node_id: str) -> bool:
        node_class = self.classes.get(self.graph[node_id]["class_type"])
        return (
            node_class is not None
            and "GUIDER" in node_class.outputs
            and self._takes(node_id, "conditioning", "CONDITIONING")
        )

    def _takes(self, node_id: str, name: str, kind: str) -> bool:
        node_class = self.classes.get(self.graph[node_id]["class_type"])
        specs = node_class.inputs if node_class else ()
        return any(one.name == name and one.type == kind for one in specs)

    def texts(self, node_id: str, side: str) -> list[Place]:
        """The texts that reach this side of a sampler, nearest first."""
        name = side if side in self.graph[node_id]["inputs"] else "conditioning" if side == POSITIVE else side
        start = self.fed(node_id, name)
        found: list[Place] = []
        waiting = deque([start] if start else [])
        seen: set[str] = set()
        while waiting and len(seen) < MOST_STEPS:
            origin, output = waiting.popleft()
            if origin in seen:
                continue
            seen.add(origin)
            here = list(self._texts_of(origin))
            found += here
            if not here:
                waiting += self._behind(origin, output, side)
        return list(dict.fromkeys(found))

    def _texts_of(self, node_id: str) -> Iterator[Place]:
        for name in self.graph[node_id]["inputs"]:
            place = self.of_input(node_id, name) if name in TEXTS else None
            if place is not None and self._holds_text(place):
                yield place

    def _holds_text(self, place: Place) -> bool:
        spec = self.spec(place.node, place.input)
        return isinstance(self.value(place.node, place.input), str) and (spec is None or spec.type == "STRING")

    def _behind(self, node_id: str, output: int, side: str) -> list[tuple[str, int]]:
        """What feeds the conditioning of a node in between; of one with both sides, the side of this output."""
        node_class = self.classes.get(self.graph[node_id]["class_type"])
        specs = [one for one in node_class.inputs if one.type == "CONDITIONING"] if node_class else []
        names = [one.name for one in specs] or list(self.graph[node_id]["inputs"])
        if {POSITIVE, NEGATIVE} <= set(names):
            names = [NEGATIVE if output == 1 else POSITIVE if output == 0 else side]
        return [source for name in names if (source := self.fed(node_id, name)) is not None]

    def upstream(self, node_id: str) -> set[str]:
        """The nodes that feed a node, and it."""
        seen: set[str] = set()
        waiting = [node_id]
        while waiting:
            here = waiting.pop()
            if here not in seen:
                seen.add(here)
                inputs = self.graph[here]["inputs"]
                waiting += [one[0] for name in inputs if (one := self.fed(here, name)) is not None]
        return seen

    def outputs_used(self, node_id: str) -> set[int]:
        return {
            value[1]
            for node in self.graph.values()
            for value in node["inputs"].values()
            if is_link(value) and value[0] == node_id
        }
