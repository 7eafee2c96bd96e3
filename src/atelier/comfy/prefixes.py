"""Names of files in a graph: where outputs go, and which inputs name files of the server."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from atelier.comfy.links import Graph

PREFIX_INPUT = "filename_prefix"
_LOADED = {
    "LoadImage": ("image",),
    "LoadImageMask": ("image",),
    "LoadImageOutput": ("image",),
    "LoadAudio": ("audio",),
    "LoadVideo": ("file",),
    "VHS_LoadVideo": ("video",),
    "VHS_LoadAudioUpload": ("audio",),
    "Load3D": ("model_file",),
    "LoadLatent": ("latent",),
}
_DRIVE = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class LoaderInput:
    """An input that names a file in the server's input folder (or, by ` [output]`, another one)."""

    node_id: str
    class_type: str
    name: str
    value: str


def loader_inputs(graph: Graph) -> list[LoaderInput]:
    """The inputs of the known file loaders that are given as text."""
    return list(_loader_inputs(graph))


def _loader_inputs(graph: Graph) -> Iterator[LoaderInput]:
    for node_id, node in graph.items():
        for name in _LOADED.get(node["class_type"], ()):
            value = node["inputs"].get(name)
            if isinstance(value, str):
                yield LoaderInput(node_id, node["class_type"], name, value)


def rewrite_prefixes(graph: Graph, prefix: str) -> Graph:
    """A copy in which every saving node writes under `prefix/`, and cannot leave it."""
    return {node_id: _under(node, prefix) for node_id, node in graph.items()}


def _under(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    inputs = cast("dict[str, Any]", node["inputs"])
    wanted = inputs.get(PREFIX_INPUT)
    if not isinstance(wanted, str):
        return node
    return {**node, "inputs": {**inputs, PREFIX_INPUT: f"{prefix}/{tame(wanted)}"}}


def tame(wanted: str) -> str:
    """A relative path without `..`, drives and backslashes; "ComfyUI" when nothing is left."""
    parts = _DRIVE.sub("", wanted.strip()).replace("\\", "/").split("/")
    kept = [part.strip() for part in parts if part.strip() not in {"", ".", ".."}]
    tail = "/" if wanted.endswith("/") and kept else ""
    return "/".join(kept) + tail if kept else "ComfyUI"
