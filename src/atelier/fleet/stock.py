"""Which model files a server has, by folder: as it lists them, else as its loaders offer them; pure."""

from collections.abc import Mapping

from atelier.fleet.inventory import Inventory
from atelier.fleet.loaders import LANE, PART

FOLDERS: Mapping[str, str] = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "model_path": "diffusers",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "photomaker_model_name": "photomaker",
    "audio_encoder_name": "audio_encoders",
    "ipadapter_file": "ipadapter",
}
"""The folder of ComfyUI's `models` that a loader's input lists, as folder_paths.py of 0.3.64 names them."""

_BY_CLASS: Mapping[tuple[str, str], str] = {
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("ModelPatchLoader", "name"): "model_patches",
}


def models(inventory: Inventory) -> dict[str, set[str]]:
    """Model files by folder. A server that does not list its folders has those that its loaders offer."""
    if inventory.files:
        return {folder: set(names) for folder, names in inventory.files.items() if names}
    found: dict[str, set[str]] = {}
    for class_type, inputs in (*LANE.items(), *PART.items()):
        for name in inputs:
            folder = _BY_CLASS.get((class_type, name)) or FOLDERS.get(name, name)
            files = inventory.options(class_type, name) or ()
            if texts := {file for file in files if isinstance(file, str)}:
                found.setdefault(folder, set()).update(texts)
    return found
