"""What one simulated server is: its folder, its models, how long its work takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKPOINTS = ("simulated_xl.safetensors", "simulated_v1.safetensors")
MODELS: Mapping[str, tuple[str, ...]] = {
    "diffusion_models": ("simulated_flux.safetensors",),
    "text_encoders": ("simulated_clip_l.safetensors", "simulated_t5xxl.safetensors"),
    "vae": ("simulated_vae.safetensors",),
    "loras": ("simulated_detail.safetensors",),
    "upscale_models": ("simulated_4x.pth",),
}


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """`directory` None: a temporary folder that goes with the server. Times in seconds, `vram_gb` in GiB.

    A model costs `load_seconds` plus `load_seconds_per_gb` for each GiB when it is first read, and a part of that
    when it comes back after others pushed it out of `vram_gb`. `without_nodes` are classes that it lacks; `packs`
    are what is installed there (simulator.routes.packs). Pictures depend on the job alone; a server with another
    `seed` draws others.
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
    previews: bool = False
    control: bool = False
    seed: int = 0
    max_upload_bytes: int = 100 * 1024 * 1024

    def files(self, folder: str) -> tuple[str, ...]:
        """The model files of one of ComfyUI's model folders."""
        return self.checkpoints if folder == "checkpoints" else self.models.get(folder, ())
