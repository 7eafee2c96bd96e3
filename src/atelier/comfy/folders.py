"""The folders of model files that every ComfyUI has, by their names of today and of yesterday."""

FOLDERS = (
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
)
"""Every ComfyUI has these (recorded of 0.3.64), whether anything lies there or not."""

LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}
NOT_MODELS = frozenset({"configs", "custom_nodes"})
