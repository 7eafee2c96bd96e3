"""Workflows for tests: a graph of nodes that every ComfyUI has, manifests for it, and folders of both."""

import copy
import json
from pathlib import Path
from typing import Any

from atelier.comfy.graph import Graph
from atelier.workflows import manifest as manifests
from atelier.workflows.model import Manifest
from atelier.workflows.store.revisions import NewRevision


def node(class_type: str, title: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


GRAPH: Graph = {
    "1": node("CheckpointLoaderSimple", "Checkpoint", ckpt_name="sd15.safetensors"),
    "2": node("CLIPTextEncode", "Positive", text="a boat", clip=["1", 1]),
    "3": node("CLIPTextEncode", "Negative", text="", clip=["1", 1]),
    "4": node("EmptyLatentImage", "Latent", width=512, height=512, batch_size=1),
    "5": node(
        "KSampler",
        "Sampler",
        model=["1", 0],
        positive=["2", 0],
        negative=["3", 0],
        latent_image=["4", 0],
        seed=1,
        steps=20,
        cfg=7.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    ),
    "6": node("VAEDecode", "Decode", samples=["5", 0], vae=["1", 2]),
    "7": node("SaveImage", "Save", images=["6", 0], filename_prefix="x"),
}
"""Text to image, as the editor exports it."""

DOCUMENT: dict[str, Any] = {
    "name": {"en": "Boats", "pt": "Barcos"},
    "description": "Draws boats.",
    "category": "text-to-image",
    "family": "sd15",
    "version": "1.0.0",
    "price": 3,
    "parameters": {
        "prompt": {"type": "text", "required": True, "max": 400, "bind": {"node": "Positive", "input": "text"}},
        "steps": {
            "type": "int",
            "default": 20,
            "min": 1,
            "max": 50,
            "step": 1,
            "bind": {"node": "Sampler", "input": "steps"},
        },
        "seed": {"type": "seed", "default": -1, "bind": {"node": "Sampler", "input": "seed"}},
    },
    "outputs": [{"node": "Save"}],
    "examples": [{"title": "A boat", "params": {"prompt": "a red boat"}}],
}
"""A small manifest for it."""


def document(**changes: Any) -> dict[str, Any]:
    """The small manifest with other fields; one that is None is left out."""
    whole = {**copy.deepcopy(DOCUMENT), **changes}
    return {key: value for key, value in whole.items() if value is not None}


def with_parameters(**parameters: dict[str, Any]) -> dict[str, Any]:
    """The small manifest with these parameters alone, and no example."""
    return document(parameters=parameters, examples=None)


def manifest(workflow_id: str = "boats", **changes: Any) -> Manifest:
    return manifests.parse(document(**changes), folder_id=workflow_id)


def one(**parameter: Any) -> Manifest:
    """A workflow whose only parameter is `it`, as described; bound to the sampler's steps unless it says."""
    kind = parameter["type"]
    default_bind: Any = {"node": "Sampler", "input": "steps"}
    if kind in {"loras", "images"}:
        default_bind = {"node": "Sampler", "input": "it_{n}"}
    told = {name: value for name, value in {"bind": default_bind, **parameter}.items() if value is not None}
    return manifests.parse(with_parameters(it=told), folder_id="boats")


def revision(workflow_id: str = "boats", graph: Graph | None = None, **changes: Any) -> NewRevision:
    return NewRevision(manifest(workflow_id, **changes), graph or GRAPH)


def write(folder: Path, workflow_id: str = "boats", graph: Any = None, **changes: Any) -> Path:
    """A workflow's folder below `folder`. JSON is YAML."""
    own = folder / workflow_id
    own.mkdir(parents=True, exist_ok=True)
    (own / "workflow.yaml").write_text(json.dumps(document(**changes)))
    (own / "graph.json").write_text(json.dumps(graph or GRAPH))
    return own
