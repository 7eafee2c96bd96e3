"""Graphs that end at once, late, never or badly; each call gives another one, so that no server has it cached."""

import io
import itertools
from typing import Any

from comfy_sdk import Workflow
from PIL import Image

from support.fleet import picture, sampled

_fresh = itertools.count(1)


def quick() -> Workflow:
    """EmptyImage -> SaveImage."""
    return Workflow(picture(color=next(_fresh)))


def slow(steps: int = 100) -> Workflow:
    """A sampler with progress and previews: 0.02 s for each step."""
    return Workflow(sampled(seed=next(_fresh), steps=steps))


def endless() -> Workflow:
    """Runs for more than three minutes: to be canceled."""
    return slow(steps=10_000)


def failing() -> Workflow:
    """A node that raises."""
    graph = picture(color=next(_fresh))
    graph["3"] = {"class_type": "TestSyncError", "inputs": {"value": ["1", 0]}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    return Workflow(graph)


def failing_late(steps: int = 30) -> Workflow:
    """A node that raises after a sampler's work."""
    graph = sampled(seed=next(_fresh), steps=steps)
    graph["8"] = {"class_type": "TestSyncError", "inputs": {"value": ["6", 0]}}
    graph["7"]["inputs"]["images"] = ["8", 0]
    return Workflow(graph)


def inverted(image: Any) -> Workflow:
    """LoadImage -> ImageInvert -> SaveImage, of an asset handle or a core/ASSET object."""
    return Workflow(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": image}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
        }
    )


def png(color: tuple[int, int, int]) -> bytes:
    """A small picture of one colour; other calls with the same colour give other bytes."""
    image = Image.new("RGB", (24, 16), color)
    number = next(_fresh)
    image.putpixel((0, 0), (number % 256, number // 256 % 256, 7))
    body = io.BytesIO()
    image.save(body, "PNG")
    return body.getvalue()


def pixel(body: bytes) -> tuple[int, ...]:
    """The colour in the middle of an encoded picture."""
    with Image.open(io.BytesIO(body)) as image:
        color = image.convert("RGB").getpixel((12, 8))
    assert isinstance(color, tuple)
    return color
