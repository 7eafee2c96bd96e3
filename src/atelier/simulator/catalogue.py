"""The node catalogue is the recorded one, cut to the nodes that run here, with this server's files filled in."""

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.catalog import Catalog
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.folders import Folders

_MODEL_INPUTS: Mapping[str, str] = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "model_name": "upscale_models",
}


@dataclass(slots=True)
class Catalogue:
    """`/object_info` of one server, and the same as values for validation."""

    config: SimulatorConfig
    folders: Folders
    _nodes: dict[str, Any] = field(init=False)
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        text = (importlib.resources.files("atelier.simulator") / "nodes.json").read_text("utf-8")
        nodes: dict[str, Any] = json.loads(text)
        self._nodes = {name: node for name, node in nodes.items() if name not in self.config.without_nodes}
        self.show_models()

    def show_models(self, *, shown: bool = True) -> None:
        """Whether the loaders offer this server's model files, or none of them."""
        for node in self._nodes.values():
            self._fill_in_models(node, shown=shown)
        self.catalog = Catalog(self._nodes)

    def names(self) -> list[str]:
        return list(self._nodes)

    def object_info(self, names: list[str]) -> dict[str, Any]:
        """The entries of these classes, with the input files of this moment; unknown names are left out."""
        files = self.folders.inputs()
        for name in ("LoadImage", "LoadImageMask"):
            if name in self._nodes:
                self._nodes[name]["input"]["required"]["image"][0] = files
        return {name: self._nodes[name] for name in names if name in self._nodes}

    def _fill_in_models(self, node: dict[str, Any], *, shown: bool) -> None:
        required: dict[str, Any] = node["input"].get("required", {})
        for name, spec in required.items():
            files = list(self.config.files(_MODEL_INPUTS.get(name, "")))
            if not files:
                continue
            if spec[0] == "COMBO":
                spec[1]["options"] = files if shown else []
            elif isinstance(spec[0], list):
                spec[0] = files if shown else []
