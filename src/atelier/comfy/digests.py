"""Two graphs with one digest are the same text; two with one shape take about the same time."""

import json
from typing import Any

from blake3 import blake3

from atelier.comfy.links import Graph, is_link

SIZES = frozenset(
    {"width", "height", "steps", "batch_size", "length", "frames", "num_frames", "video_frames", "upscale_by"}
)
"""Inputs whose value, more than any other, decides how long a node works."""


def canonical(graph: Graph) -> str:
    """The one way to write this graph down: compact ASCII JSON in the graph's own order of nodes and inputs.

    The order stays, because servers run nodes and list outputs by it.
    """
    return json.dumps(graph, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(graph: Graph) -> bytes:
    """32 bytes of blake3 over canonical(graph)."""
    return blake3(canonical(graph).encode()).digest()


def shape_digest(graph: Graph) -> bytes:
    """32 bytes of blake3 over classes, links and sizes: without texts, seeds and names, in any order of nodes."""
    shape = {node_id: [node["class_type"], _shape(node["inputs"])] for node_id, node in graph.items()}
    return blake3(json.dumps(shape, separators=(",", ":"), sort_keys=True).encode()).digest()


def _shape(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if is_link(value) or _is_size(name, value)}


def _is_size(name: str, value: object) -> bool:
    return name in SIZES and isinstance(value, int | float)
