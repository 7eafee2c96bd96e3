"""The node catalogue is the recorded one, cut to the nodes that run here, and that of the installed packs.

This server's files are filled in. What the packs' nodes take and give was read in their public source.
"""

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
    "control_net_name": "controlnet",
    "ipadapter_file": "ipadapter",
}
_CLASS_INPUTS: Mapping[tuple[str, str], str] = {
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("UltralyticsDetectorProvider", "model_name"): "ultralytics",
    **{("Lora Loader Stack (rgthree)", f"lora_{number:02}"): "loras" for number in range(1, 5)},
}
"""Inputs that mean another folder than their name says, or that offer `None` as well."""

SEEN_FOR_THEMSELVES = frozenset({("VHS_LoadVideo", "video"), ("VHS_LoadImages", "directory")})
"""Choices that the class itself judges (VALIDATE_INPUTS): what lies there now counts, not what lay there once."""


@dataclass(slots=True)
class Catalogue:
    """`/object_info` of one server, and the same as values for validation."""

    config: SimulatorConfig
    folders: Folders
    _nodes: dict[str, Any] = field(init=False)
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        packs = _read("packs.json")
        nodes = _read("nodes.json") | {
            name: node for pack in self.config.node_packs for name, node in packs[pack].items()
        }
        self._nodes = {name: node for name, node in nodes.items() if name not in self.config.without_nodes}
        self.show_models()

    def show_models(self, *, shown: bool = True) -> None:
        """Whether the loaders offer this server's model files, or none of them."""
        for name, node in self._nodes.items():
            self._fill_in_models(name, node, shown=shown)
        self.catalog = Catalog(self._nodes)

    def names(self) -> list[str]:
        return list(self._nodes)

    def object_info(self, names: list[str]) -> dict[str, Any]:
        """The entries of these classes, with the input files of this moment; unknown names are left out."""
        self._fill_in_files()
        return {name: self._nodes[name] for name in names if name in self._nodes}

    def _fill_in_files(self) -> None:
        files, videos = self.folders.inputs(), self.folders.videos()
        for name, place, offered in (
            ("LoadImage", "image", files),
            ("LoadImageMask", "image", files),
            ("VHS_LoadVideo", "video", videos),
            ("VHS_LoadImages", "directory", self.folders.folders()),
        ):
            if name in self._nodes:
                self._nodes[name]["input"]["required"][place][0] = offered
        if "LoadVideo" in self._nodes:
            self._nodes["LoadVideo"]["input"]["required"]["file"][1]["options"] = videos

    def _fill_in_models(self, class_name: str, node: dict[str, Any], *, shown: bool) -> None:
        required: dict[str, Any] = node["input"].get("required", {})
        for name, spec in required.items():
            folder = _CLASS_INPUTS.get((class_name, name)) or _MODEL_INPUTS.get(name, "")
            files = list(self.config.files(folder))
            if not files:
                continue
            offered = files if shown else []
            if spec[0] == "COMBO":
                spec[1]["options"] = offered
            elif isinstance(spec[0], list):
                spec[0] = ["None", *offered] if _may_be_none(class_name) else offered


def _may_be_none(class_name: str) -> bool:
    return class_name == "Lora Loader Stack (rgthree)"


def _read(name: str) -> dict[str, Any]:
    text = (importlib.resources.files("atelier.simulator") / name).read_text("utf-8")
    nodes: dict[str, Any] = json.loads(text)
    return nodes
