"""What is converted: one picture like a photograph, with its sensor's noise, and one of soft gradients."""

import io
import json
import random
from collections.abc import Mapping

from PIL import Image, ImageChops, ImageDraw, ImageFilter, PngImagePlugin

GRAPH = {
    str(number): {"class_type": "KSampler", "inputs": {"seed": number, "steps": 20, "text": "a lighthouse" * 8}}
    for number in range(12)
}


def sources(side: int) -> Mapping[str, bytes]:
    """PNGs of `side` x `side` pixels as SaveImage writes them: eight bits, level 4, graph and document."""
    return {"photograph": _png(_photograph(side)), "gradients": _png(_gradients(side))}


def _photograph(side: int) -> Image.Image:
    """Shapes with soft edges under noise that is the same at no two pixels."""
    base = _gradients(side).filter(ImageFilter.GaussianBlur(1.5))
    grain = [Image.effect_noise((side, side), 16).filter(ImageFilter.GaussianBlur(0.6)) for _ in range(3)]
    return ImageChops.add(base, Image.merge("RGB", grain), scale=1.0, offset=-128)


def _gradients(side: int) -> Image.Image:
    chance = random.Random(11)  # noqa: S311 - the same picture on every run
    ramps = [Image.linear_gradient("L").rotate(chance.uniform(0, 360), fillcolor=128) for _ in range(3)]
    small = Image.merge("RGB", ramps)
    pen = ImageDraw.Draw(small, "RGBA")
    for _ in range(40):
        x, y, radius = chance.uniform(0, 256), chance.uniform(0, 256), chance.uniform(4, 60)
        color = (chance.randint(0, 255), chance.randint(0, 255), chance.randint(0, 255), 140)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return small.filter(ImageFilter.GaussianBlur(1)).resize((side, side), Image.Resampling.BICUBIC)


def _png(image: Image.Image) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(GRAPH))
    info.add_text("workflow", json.dumps({"nodes": list(GRAPH.values()), "links": []}))
    into = io.BytesIO()
    image.save(into, "PNG", pnginfo=info, compress_level=4)
    return into.getvalue()
