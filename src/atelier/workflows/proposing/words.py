"""What proposed parameters are called in a form, in English and Portuguese."""

from collections.abc import Mapping

from atelier.workflows.model import Words

LABELS: Mapping[str, Words] = {
    "prompt": Words("Prompt", "Prompt"),
    "negative_prompt": Words("Negative prompt", "Prompt negativo"),
    "input_image": Words("Image", "Imagem"),
    "mask": Words("Mask", "Máscara"),
    "aspect_ratio": Words("Format", "Formato"),
    "batch_size": Words("Pictures", "Imagens"),
    "frames": Words("Frames", "Quadros"),
    "seed": Words("Seed", "Semente"),
    "model": Words("Model", "Modelo"),
    "lora": Words("LoRA", "LoRA"),
    "loras": Words("LoRAs", "LoRAs"),
    "lora_strength": Words("LoRA strength", "Força do LoRA"),
    "vae": Words("VAE", "VAE"),
    "text_encoder": Words("Text encoder", "Codificador de texto"),
    "controlnet": Words("ControlNet", "ControlNet"),
    "upscaler": Words("Upscaler", "Ampliador"),
    "steps": Words("Steps", "Passos"),
    "cfg": Words("Prompt strength (CFG)", "Força do prompt (CFG)"),
    "guidance": Words("Guidance", "Orientação"),
    "sampler": Words("Sampler", "Amostrador"),
    "scheduler": Words("Scheduler", "Agendador"),
    "denoise": Words("Change", "Mudança"),
    "fps": Words("Frames per second", "Quadros por segundo"),
}

HELP: Mapping[str, Words] = {
    "prompt": Words("What the picture shows, in your own words.", "O que a imagem mostra, com suas palavras."),
    "negative_prompt": Words("What the picture must not show.", "O que não deve aparecer na imagem."),
    "seed": Words(
        "The same seed with the same settings makes the same picture. -1 draws one at random.",
        "A mesma semente com os mesmos ajustes gera a mesma imagem. -1 sorteia uma.",
    ),
    "denoise": Words("How much is changed: 0 nothing, 1 all.", "O quanto muda: 0 nada, 1 tudo."),
}

MODELS: Mapping[str, str] = {
    "loras": "lora",
    "vae": "vae",
    "text_encoders": "text_encoder",
    "clip": "text_encoder",
    "controlnet": "controlnet",
    "upscale_models": "upscaler",
}
"""What a model of a folder is called as a parameter; others are called as their folder."""

FAMILIES = (
    ("flux", "flux"),
    ("qwen", "qwen-image"),
    ("wan", "wan"),
    ("pony", "pony"),
    ("illustrious", "illustrious"),
    ("noob", "illustrious"),
    ("hunyuan", "hunyuan"),
    ("ltx", "ltx"),
    ("hidream", "hidream"),
    ("chroma", "chroma"),
    ("z_image", "z-image"),
    ("sd3", "sd3"),
    ("xl", "sdxl"),
    ("v1-5", "sd15"),
    ("sd15", "sd15"),
)
"""A part of a model's file name, and the family that it tells; the first that fits."""


def label(name: str) -> Words:
    """Of the second of a name: `prompt_2` is Prompt 2."""
    if name in LABELS:
        return LABELS[name]
    return Words(name.replace("_", " ").capitalize())


def help_of(name: str) -> Words:
    return HELP.get(name, Words())
