"""Every node class of the catalogue has exactly one function."""

from collections.abc import Mapping

from atelier.simulator.nodes.call import Node
from atelier.simulator.nodes.images import IMAGE_NODES
from atelier.simulator.nodes.models import MODEL_NODES
from atelier.simulator.nodes.testing import TEST_NODES

NODES: Mapping[str, Node] = {**IMAGE_NODES, **MODEL_NODES, **TEST_NODES}

ON_THE_GPU = frozenset({*MODEL_NODES, "ImageBlur"})
"""Nodes that work on the GPU in ComfyUI; the others need none."""
