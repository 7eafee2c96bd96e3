"""A model node draws from seed and prompt alone, so the same job gives the same picture, and says SIMULATED."""

import functools
import hashlib
import io
import random
import textwrap
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from atelier.simulator.pictures import resized

_SKETCH = 320
"""Pixels of the longer side on which shapes are drawn before they are enlarged: smooth, and cheap."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a drawn picture depends on."""

    prompt: str
    negative: str = ""
    model: str = ""
    seed: int = 0
    steps: int = 0
    cfg: float = 0.0
    server_seed: int = 0

    def digest(self, number: int) -> bytes:
        numbers = (self.seed, self.cfg, self.server_seed, number)
        told = "\x1f".join((self.prompt, self.negative, self.model, *map(str, numbers)))
        return hashlib.sha256(told.encode()).digest()


def draw(recipe: Recipe, size: tuple[int, int], number: int = 0) -> Image.Image:
    """Picture `number` of a batch, RGB, `size` in pixels."""
    chance = random.Random(recipe.digest(number))  # noqa: S311 - the seed is the point
    image = _painted(chance, size)
    _label(image, recipe)
    return image


def preview(recipe: Recipe, size: tuple[int, int], share: float) -> bytes:
    """A JPEG of at most 512 pixels, the less sharp the smaller `share` of the steps is done."""
    chance = random.Random(recipe.digest(0))  # noqa: S311 - the same as the picture
    small = _painted(chance, _fitted(size, 512))
    blurred = small.filter(ImageFilter.BoxBlur(max(0.0, 12.0 * (1.0 - share))))
    encoded = io.BytesIO()
    blurred.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def _painted(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    sketch = _gradient(chance, _fitted(size, _SKETCH))
    pen = ImageDraw.Draw(sketch, "RGBA")
    for _ in range(chance.randint(7, 12)):
        _shape(chance, pen, sketch.size)
    return resized(sketch.filter(ImageFilter.BoxBlur(1)), size, Image.Resampling.BICUBIC)


def _gradient(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    angle = chance.uniform(0.0, 360.0)
    turned = Image.linear_gradient("L").rotate(angle, Image.Resampling.BILINEAR, fillcolor=128)
    ramp = resized(turned, size)
    return Image.composite(Image.new("RGB", size, _color(chance)), Image.new("RGB", size, _color(chance)), ramp)


def _shape(chance: random.Random, pen: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    radius = chance.uniform(0.06, 0.34) * max(size)
    x, y = chance.uniform(0, size[0]), chance.uniform(0, size[1])
    fill = (*_color(chance), chance.randint(60, 190))
    if chance.random() < 0.6:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        pen.regular_polygon((x, y, radius), chance.randint(3, 6), rotation=chance.randint(0, 359), fill=fill)


def _color(chance: random.Random) -> tuple[int, int, int]:
    return chance.randint(20, 240), chance.randint(20, 240), chance.randint(20, 240)


def mark(image: Image.Image, *, middle: bool = False) -> int:
    """Write across the top, or the middle, what it is; the height of the letters in pixels."""
    width, height = image.size
    size = max(8, min(width, height) // 16)
    left, top = (max(0.0, width / 2 - size * 2.9), height / 2) if middle else (size * 0.4, 0.0)
    pen = ImageDraw.Draw(image, "RGBA")
    pen.rectangle((0, top, width, top + size * 1.6), fill=(0, 0, 0, 150))
    pen.text((left, top + size * 0.2), "SIMULATED", font=_font(size), fill=(255, 255, 255, 255))
    return size


def _label(image: Image.Image, recipe: Recipe) -> None:
    """The mark across the top and the prompt at the foot, on dark bands so that both can be read."""
    size = mark(image)
    width, height = image.size
    if height < 96:
        return
    pen = ImageDraw.Draw(image, "RGBA")
    small = max(8, size * 2 // 3)
    lines = textwrap.wrap(recipe.prompt, max(8, int(width / (small * 0.55))))[:3] or ["(no prompt)"]
    lines.append(f"seed {recipe.seed}  {recipe.model}")
    top = height - small * 1.3 * len(lines) - small * 0.6
    pen.rectangle((0, top, width, height), fill=(0, 0, 0, 150))
    pen.multiline_text(
        (size * 0.4, top + small * 0.2), "\n".join(lines), font=_font(small), fill=(255, 255, 255, 235)
    )


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    factor = min(1.0, longest / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
