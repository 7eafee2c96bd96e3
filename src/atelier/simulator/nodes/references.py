"""IP-Adapter: a picture becomes part of the model, so another reference, weight or kind makes another picture."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from PIL import Image

from atelier.simulator.nodes.call import Call, Made, Node
from atelier.simulator.nodes.models import loaded, resident
from atelier.simulator.nodes.values import Model
from atelier.simulator.pictures import Picture, resized

_VISION_SIDE = 224
"""Pixels of the square that CLIP's vision models look at."""

_CENTRES: Mapping[str, tuple[float, float]] = {
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """`vision` is True when the loader brought the vision model with it."""

    name: str
    vision: bool


def load_adapter(call: Call) -> Made:
    return Made((Adapter(loaded(call, "ipadapter", call.text("ipadapter_file")).name, vision=False),))


def load_all(call: Call) -> Made:
    """The adapter and the vision model that a preset stands for; the model goes through."""
    name = call.text("preset")
    call.shop.sleep(call.shop.memory.need("ipadapter", name))
    return Made((call.get("model", Model), Adapter(name, vision=True)))


def apply_adapter(call: Call) -> Made:
    """Raises as the real node does when nobody brought a vision model."""
    adapter, model = call.get("ipadapter", Adapter), call.get("model", Model)
    vision = call.inputs.get("clip_vision")
    if isinstance(vision, Model):
        resident(call, vision)
    elif not adapter.vision:
        msg = "Missing CLIPVision model."
        raise RuntimeError(msg)
    told = f"{_seen(call)} {call.text('weight_type')} {call.float('weight'):g}"
    span = f"{call.float('start_at'):g}-{call.float('end_at'):g}"
    name = hashlib.sha256(f"{told} {span} {adapter.name}".encode()).hexdigest()[:6]
    return Made((replace(model, marks=(*model.marks, f"ref {name}")),))


def prepare(call: Call) -> Made:
    """The square that the vision model would see; `pad` keeps everything."""
    place = call.text("crop_position")
    made = [_square(picture.saved().convert("RGB"), place) for picture in call.pictures("image")]
    return Made((tuple(Picture(image) for image in made),))


def _seen(call: Call) -> str:
    digest = hashlib.sha256()
    for picture in call.pictures("image"):
        digest.update(repr(picture.size).encode() + picture.saved().tobytes())
    return digest.hexdigest()


def _square(image: Image.Image, place: str) -> Image.Image:
    side = max(image.size) if place == "pad" else min(image.size)
    across, down = _CENTRES.get(place, (0.5, 0.5))
    left, top = round((image.width - side) * across), round((image.height - side) * down)
    return resized(image.crop((left, top, left + side, top + side)), (_VISION_SIDE, _VISION_SIDE))


REFERENCE_NODES: Mapping[str, Node] = {
    "IPAdapterModelLoader": load_adapter,
    "IPAdapterUnifiedLoader": load_all,
    "IPAdapter": apply_adapter,
    "IPAdapterAdvanced": apply_adapter,
    "PrepImageForClipVision": prepare,
}
