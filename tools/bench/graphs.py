"""What is asked for: graphs that no cache answers."""

import io
import itertools
from typing import Any

from PIL import Image

Graph = dict[str, dict[str, Any]]

SMALL, USUAL = 64, 512
"""Pixels of a side."""
_numbers = itertools.count(1)


def plain() -> Graph:
    """One small colour in two nodes: nothing but the way there and back takes time."""
    return {
        "1": _node("EmptyImage", width=SMALL, height=SMALL, batch_size=1, color=next(_numbers)),
        "2": _node("SaveImage", images=["1", 0], filename_prefix=_prefix()),
    }


def shown() -> Graph:
    """The same, shown and not kept."""
    return {
        "1": _node("EmptyImage", width=SMALL, height=SMALL, batch_size=1, color=next(_numbers)),
        "2": _node("PreviewImage", images=["1", 0]),
    }


def usual() -> Graph:
    """Text to image of the usual size."""
    return _text_to_image(USUAL)


def small() -> Graph:
    """Text to image of a size that takes no time to draw: what is left is the step."""
    return _text_to_image(SMALL)


def of_model(name: str, steps: int) -> Graph:
    """Text to image, small, with this checkpoint: what takes time is the model's loading and the steps."""
    return _text_to_image(SMALL, name, steps)


def _text_to_image(side: int, model: str = "simulated_v1.safetensors", steps: int = 1) -> Graph:
    """The seven nodes of everybody's first workflow; each step takes what the server was told."""
    return {
        "1": _node("CheckpointLoaderSimple", ckpt_name=model),
        "2": _node("CLIPTextEncode", clip=["1", 1], text="a lighthouse"),
        "3": _node("CLIPTextEncode", clip=["1", 1], text="blurry"),
        "4": _node("EmptyLatentImage", width=side, height=side, batch_size=1),
        "5": _node(
            "KSampler",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            seed=next(_numbers),
            steps=steps,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "6": _node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _node("SaveImage", images=["6", 0], filename_prefix=_prefix()),
    }


def is_right(graph: Graph, picture: bytes) -> bool:
    """Whether these bytes are what the graph asked for: size, and where it is known, the colour."""
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        if graph["1"]["class_type"] != "EmptyImage":
            side = graph["4"]["inputs"]["width"]
            return image.size == (side, side)
        color = graph["1"]["inputs"]["color"]
        wanted = (color >> 16 & 255, color >> 8 & 255, color & 255)
        return image.size == (SMALL, SMALL) and image.convert("RGB").getpixel((0, 0)) == wanted


def _prefix() -> str:
    """A server looks through the whole folder for the next free name, so folders stay small on either way."""
    return f"bench-{next(_numbers) // 200}/picture"


def _node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
