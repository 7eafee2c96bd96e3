"""What one simulated server is: its folder, its models, how long its work takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKPOINTS = (
    "simulated_xl.safetensors",
    "simulated_v1.safetensors",
    "v1-5-pruned-emaonly-fp16.safetensors",
    "sd_xl_base_1.0.safetensors",
    "Illustrious-XL-v1.0.safetensors",
)
MODELS: Mapping[str, tuple[str, ...]] = {
    "diffusion_models": (
        "simulated_flux.safetensors",
        "flux1-dev.safetensors",
        "flux1-fill-dev.safetensors",
        "qwen_image_fp8_e4m3fn.safetensors",
        "wan2.2_ti2v_5B_fp16.safetensors",
    ),
    "text_encoders": (
        "simulated_clip_l.safetensors",
        "simulated_t5xxl.safetensors",
        "clip_l.safetensors",
        "t5xxl_fp8_e4m3fn_scaled.safetensors",
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    ),
    "vae": (
        "simulated_vae.safetensors",
        "ae.safetensors",
        "qwen_image_vae.safetensors",
        "wan2.2_vae.safetensors",
    ),
    "loras": ("simulated_detail.safetensors", "simulated_style.safetensors"),
    "upscale_models": ("simulated_4x.pth", "RealESRGAN_x4plus.pth"),
    "controlnet": ("Qwen-Image-InstantX-ControlNet-Inpainting.safetensors",),
    "clip_vision": ("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",),
    "ipadapter": ("ip-adapter-plus_sdxl_vit-h.safetensors",),
    "ultralytics": ("bbox/face_yolov8m.pt", "bbox/hand_yolov8s.pt"),
}
"""Made-up files, and those that the shipped workflows name."""

NODE_PACKS = (
    "rgthree-comfy",
    "ComfyUI-Impact-Pack",
    "ComfyUI-Impact-Subpack",
    "ComfyUI_essentials",
    "ComfyUI-Easy-Use",
    "ComfyUI-LivePortraitKJ",
    "ComfyUI_IPAdapter_plus",
    "ComfyUI-VideoHelperSuite",
)
"""Real packs whose nodes can run here, by the names of their folders."""


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """`directory` None: a temporary folder that goes with the server. Times in seconds, `vram_gb` in GiB.

    A model costs `load_seconds` plus `load_seconds_per_gb` for each GiB when it is first read, and a part of that
    when it comes back after others pushed it out of `vram_gb`. `node_packs` (of NODE_PACKS) are installed,
    `without_nodes` are classes that it lacks; `packs` are made-up ones (simulator.routes.packs). Pictures
    depend on the job alone; a server with another `seed` draws others.
    """

    directory: Path | None = None
    step_seconds: float = 0.0
    load_seconds: float = 0.0
    load_seconds_per_gb: float = 0.0
    vram_gb: float = 24.0
    checkpoints: tuple[str, ...] = CHECKPOINTS
    models: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(MODELS))
    without_nodes: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    node_packs: tuple[str, ...] = NODE_PACKS
    previews: bool = False
    control: bool = False
    seed: int = 0
    max_upload_bytes: int = 100 * 1024 * 1024

    def files(self, folder: str) -> tuple[str, ...]:
        """The model files of one of ComfyUI's model folders."""
        return self.checkpoints if folder == "checkpoints" else self.models.get(folder, ())
