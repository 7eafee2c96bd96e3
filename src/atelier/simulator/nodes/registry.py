"""Every node class of the catalogue has exactly one function."""

from collections.abc import Mapping

from atelier.simulator.nodes.call import Node
from atelier.simulator.nodes.composing import COMPOSING_NODES, WORD_NODES
from atelier.simulator.nodes.cutting import CUTTING_NODES
from atelier.simulator.nodes.guiding import GUIDING_NODES
from atelier.simulator.nodes.images import IMAGE_NODES
from atelier.simulator.nodes.models import MODEL_NODES
from atelier.simulator.nodes.portraits import PORTRAIT_NODES
from atelier.simulator.nodes.references import REFERENCE_NODES
from atelier.simulator.nodes.retouching import RETOUCHING_NODES
from atelier.simulator.nodes.testing import TEST_NODES
from atelier.simulator.nodes.videos import FILM_NODES, VIDEO_HELPER_NODES, VIDEO_NODES

_LOADED: Mapping[str, Node] = {
    **MODEL_NODES,
    **GUIDING_NODES,
    **FILM_NODES,
    **RETOUCHING_NODES,
    **CUTTING_NODES,
    **PORTRAIT_NODES,
    **REFERENCE_NODES,
}

NODES: Mapping[str, Node] = {
    **IMAGE_NODES,
    **COMPOSING_NODES,
    **WORD_NODES,
    **VIDEO_NODES,
    **VIDEO_HELPER_NODES,
    **_LOADED,
    **TEST_NODES,
}

ON_THE_GPU = frozenset({*_LOADED, "ImageBlur"}) - {"MaskBoundingBox+"}
"""Nodes that work on the GPU in ComfyUI; the others need none."""
