"""Which inputs of which node classes name model files, and of which folder; data: a new loader is one line.

A folder of `LARGE` models makes the lane: changing one of them is a swap. Files of the others (LoRA, control net,
upscaler…) must exist on the server but cost only load time. A loader that is not named here is recognised by its
choices, where a server's inventory is known: fleet.requirements.

Names and inputs are those of ComfyUI's own nodes (object_info of 0.3.64) and of widely used packs, read in their
sources. `#` in an input's name stands for a number.
"""

import re
from collections.abc import Mapping

LARGE = frozenset(
    {
        "checkpoints",
        "diffusion_models",
        "unet",
        "unet_gguf",
        "diffusers",
        "text_encoders",
        "clip",
        "clip_gguf",
        "t5",
        "vae",
        "LLM",
        "llm",
    }
)
"""Folders of large models, also under the names that they had before (`unet`, `clip`) and that packs give them."""

_TEXT_ENCODERS_2 = {"clip_name1": "text_encoders", "clip_name2": "text_encoders"}
_TEXT_ENCODERS_3 = {**_TEXT_ENCODERS_2, "clip_name3": "text_encoders"}
_TEXT_ENCODERS_4 = {**_TEXT_ENCODERS_3, "clip_name4": "text_encoders"}
_CHECKPOINT_VAE_LORA = {"ckpt_name": "checkpoints", "vae_name": "vae", "lora_name": "loras"}

_CORE: Mapping[str, Mapping[str, str]] = {
    "CheckpointLoaderSimple": {"ckpt_name": "checkpoints"},
    "CheckpointLoader": {"ckpt_name": "checkpoints"},
    "ImageOnlyCheckpointLoader": {"ckpt_name": "checkpoints"},
    "unCLIPCheckpointLoader": {"ckpt_name": "checkpoints"},
    "UNETLoader": {"unet_name": "diffusion_models"},
    "DiffusersLoader": {"model_path": "diffusers"},
    "CLIPLoader": {"clip_name": "text_encoders"},
    "DualCLIPLoader": _TEXT_ENCODERS_2,
    "TripleCLIPLoader": _TEXT_ENCODERS_3,
    "QuadrupleCLIPLoader": _TEXT_ENCODERS_4,
    "VAELoader": {"vae_name": "vae"},
    "LoraLoader": {"lora_name": "loras"},
    "LoraLoaderModelOnly": {"lora_name": "loras"},
    "CreateHookLora": {"lora_name": "loras"},
    "CreateHookLoraModelOnly": {"lora_name": "loras"},
    "CreateHookModelAsLora": {"ckpt_name": "checkpoints"},
    "CreateHookModelAsLoraModelOnly": {"ckpt_name": "checkpoints"},
    "ControlNetLoader": {"control_net_name": "controlnet"},
    "DiffControlNetLoader": {"control_net_name": "controlnet"},
    "UpscaleModelLoader": {"model_name": "upscale_models"},
    "CLIPVisionLoader": {"clip_name": "clip_vision"},
    "StyleModelLoader": {"style_model_name": "style_models"},
    "GLIGENLoader": {"gligen_name": "gligen"},
    "HypernetworkLoader": {"hypernetwork_name": "hypernetworks"},
    "PhotoMakerLoader": {"photomaker_model_name": "photomaker"},
    "ModelPatchLoader": {"name": "model_patches"},
    "AudioEncoderLoader": {"audio_encoder_name": "audio_encoders"},
}

# ComfyUI-GGUF, KJNodes, Nunchaku
_DIFFUSION: Mapping[str, Mapping[str, str]] = {
    "UnetLoaderGGUF": {"unet_name": "unet_gguf"},
    "UnetLoaderGGUFAdvanced": {"unet_name": "unet_gguf"},
    "CLIPLoaderGGUF": {"clip_name": "text_encoders"},
    "DualCLIPLoaderGGUF": _TEXT_ENCODERS_2,
    "TripleCLIPLoaderGGUF": _TEXT_ENCODERS_3,
    "QuadrupleCLIPLoaderGGUF": _TEXT_ENCODERS_4,
    "CheckpointLoaderKJ": {"ckpt_name": "checkpoints"},
    "DiffusionModelLoaderKJ": {"model_name": "diffusion_models"},
    "GGUFLoaderKJ": {"model_name": "unet_gguf", "extra_model_name": "unet_gguf"},
    "NunchakuFluxDiTLoader": {"model_path": "diffusion_models"},
    "NunchakuQwenImageDiTLoader": {"model_name": "diffusion_models"},
    "NunchakuTextEncoderLoader": {"text_encoder1": "text_encoders", "text_encoder2": "text_encoders"},
    "NunchakuTextEncoderLoaderV2": {"text_encoder1": "text_encoders", "text_encoder2": "text_encoders"},
    "NunchakuFluxLoraLoader": {"lora_name": "loras"},
    "NunchakuFluxLoraStack": {"lora_name_#": "loras"},
    "NunchakuPuLIDLoaderV2": {"pulid_file": "pulid", "eva_clip_file": "clip_vision"},
    "CheckpointLoaderSimpleWithNoiseSelect": {"ckpt_name": "checkpoints"},
}

# kijai's wrappers of Wan, Hunyuan and CogVideoX, Lightricks' LTXVideo, AnimateDiff-Evolved
_VIDEO: Mapping[str, Mapping[str, str]] = {
    "WanVideoModelLoader": {"model": "diffusion_models"},
    "WanVideoVACEModelSelect": {"vace_model": "diffusion_models"},
    "WanVideoExtraModelSelect": {"extra_model": "diffusion_models"},
    "WanVideoVAELoader": {"model_name": "vae"},
    "LoadWanVideoT5TextEncoder": {"model_name": "text_encoders"},
    "LoadWanVideoClipTextEncoder": {"model_name": "text_encoders"},
    "WanVideoLoraSelect": {"lora": "loras"},
    "WanVideoLoraSelectMulti": {"lora_#": "loras"},
    "HyVideoModelLoader": {"model": "diffusion_models"},
    "HyVideoVAELoader": {"model_name": "vae"},
    "HyVideoLoraSelect": {"lora": "loras"},
    "CogVideoXModelLoader": {"model": "diffusion_models"},
    "CogVideoXVAELoader": {"model_name": "vae"},
    "CogVideoLoraSelect": {"lora": "cogvideox_loras"},
    "CogVideoLoraSelectComfy": {"lora": "loras"},
    "LTXVGemmaCLIPModelLoader": {"gemma_path": "text_encoders", "ltxv_path": "checkpoints"},
    "LowVRAMAudioVAELoader": {"ckpt_name": "checkpoints"},
    "LowVRAMLatentUpscaleModelLoader": {"model_name": "latent_upscale_models"},
    "LTXICLoRALoaderModelOnly": {"lora_name": "loras"},
    "LTXVQ8LoraModelLoader": {"lora_name": "loras"},
    "ADE_AnimateDiffLoaderGen1": {"model_name": "animatediff_models"},
    "ADE_AnimateDiffLoaderWithContext": {"model_name": "animatediff_models"},
    "ADE_LoadAnimateDiffModel": {"model_name": "animatediff_models"},
    "ADE_AnimateDiffLoRALoader": {"name": "animatediff_motion_lora"},
}

# IPAdapter plus, InstantID, PuLID, ReActor, Impact, Florence-2, SUPIR
_PARTS: Mapping[str, Mapping[str, str]] = {
    "IPAdapterModelLoader": {"ipadapter_file": "ipadapter"},
    "InstantIDModelLoader": {"instantid_file": "instantid"},
    "PulidModelLoader": {"pulid_file": "pulid"},
    "PulidFluxModelLoader": {"pulid_file": "pulid"},
    "ReActorFaceSwap": {"swap_model": "insightface", "face_restore_model": "facerestore_models"},
    "ReActorFaceSwapOpt": {"swap_model": "insightface", "face_restore_model": "facerestore_models"},
    "ReActorRestoreFace": {"model": "facerestore_models"},
    "SAMLoader": {"model_name": "sams"},
    "ONNXDetectorProvider": {"model_name": "onnx"},
    "Florence2ModelLoader": {"model": "LLM"},
    "SUPIR_Upscale": {"supir_model": "checkpoints", "sdxl_model": "checkpoints"},
    "SUPIR_model_loader": {"supir_model": "checkpoints", "sdxl_model": "checkpoints"},
    "SUPIR_model_loader_v2": {"supir_model": "checkpoints"},
    "SUPIR_model_loader_v2_clip": {"supir_model": "checkpoints"},
}

# rgthree, efficiency nodes, Easy-Use, Comfyroll: several models in one node
_MANY: Mapping[str, Mapping[str, str]] = {
    "Power Lora Loader (rgthree)": {"lora_#": "loras"},
    "Lora Loader Stack (rgthree)": {"lora_#": "loras"},
    "Efficient Loader": _CHECKPOINT_VAE_LORA,
    "Eff. Loader SDXL": {"base_ckpt_name": "checkpoints", "refiner_ckpt_name": "checkpoints", "vae_name": "vae"},
    "LoRA Stacker": {"lora_name_#": "loras"},
    "CR LoRA Stack": {"lora_name_#": "loras"},
    "easy fullLoader": _CHECKPOINT_VAE_LORA,
    "easy a1111Loader": _CHECKPOINT_VAE_LORA,
    "easy comfyLoader": _CHECKPOINT_VAE_LORA,
    "easy hunyuanDiTLoader": _CHECKPOINT_VAE_LORA,
    "easy fluxLoader": _CHECKPOINT_VAE_LORA,
    "easy svdLoader": {"ckpt_name": "checkpoints", "vae_name": "vae", "clip_name": "text_encoders"},
    "easy mochiLoader": {"ckpt_name": "checkpoints", "vae_name": "vae"},
    "easy loraStack": {"lora_#_name": "loras"},
    "easy controlnetLoader": {"control_net_name": "controlnet"},
}

LOADERS: Mapping[str, Mapping[str, str]] = {**_CORE, **_DIFFUSION, **_VIDEO, **_PARTS, **_MANY}
"""Class to input to the folder of ComfyUI's `models` that the input's choices come from."""

LANE: Mapping[str, tuple[str, ...]] = {
    class_type: large
    for class_type, inputs in LOADERS.items()
    if (large := tuple(name for name, folder in inputs.items() if folder in LARGE))
}
"""The inputs of known loaders that name large models, by class."""

MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".onnx", ".pkl")
"""A choice that ends like this is a model file, also where its loader and its folder are not known."""

NOT_FILES = frozenset({"", "none", "undefined", "baked vae", "pixel_space", "default", "auto"})
"""Choices of loaders that stand for no file, in small letters."""

_NUMBER = re.compile(r"\d+")


def folder_of(class_type: str, input_name: str) -> str | None:
    """The folder that a known loader's input names files of; None for what is no loader, or not known here."""
    inputs = LOADERS.get(class_type)
    if inputs is None:
        return None
    return inputs.get(input_name) or inputs.get(_NUMBER.sub("#", input_name))
