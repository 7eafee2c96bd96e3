"""Packs that retouch (rgthree, Impact): a face is where faces often are, and nothing but it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw, ImageFilter

from atelier.simulator.drawing import Recipe, draw
from atelier.simulator.nodes.call import Call, Made, Node
from atelier.simulator.nodes.models import loaded, resident
from atelier.simulator.nodes.values import Conditioning, Model
from atelier.simulator.pictures import Picture

_NO_LORA = "None"
_STACKED = 4
_FACE = (0.34, 0.12, 0.66, 0.44)
"""Left, top, right, bottom as shares of a picture: every picture has one face, and it is here."""


@dataclass(frozen=True, slots=True)
class Detector:
    model: Model


def stack_loras(call: Call) -> Made:
    """rgthree: up to four LoRAs on model and CLIP; "None" and a strength of 0 are no LoRA."""
    model, clip = call.get("model", Model), call.get("clip", Model)
    names = [
        call.text(f"lora_{number:02}")
        for number in range(1, _STACKED + 1)
        if call.text(f"lora_{number:02}") != _NO_LORA and call.float(f"strength_{number:02}")
    ]
    return Made((replace(model, loras=(*model.loras, *names)), clip))


def load_detector(call: Call) -> Made:
    """Both detectors that a YOLO file may serve as."""
    detector = Detector(loaded(call, "ultralytics", call.text("model_name")))
    return Made((detector, detector))


def detail_face(call: Call) -> Made:
    """The face of each picture is drawn anew as far as `denoise` says; what lies around stays byte for byte."""
    detector, model = call.get("bbox_detector", Detector), call.get("model", Model)
    resident(call, detector.model)
    resident(call, model)
    pictures = call.pictures("image")
    boxes = [face_box(picture.size) for picture in pictures]
    for step in range(1, call.int("steps") + 1):
        call.shop.sleep(call.shop.config.step_seconds)
        call.watch(step, call.int("steps"))
    done = [
        _detailed(call, picture, box, number)
        for number, (picture, box) in enumerate(zip(pictures, boxes, strict=True))
    ]
    cropped = tuple(Picture(image.crop(box)) for image, box in zip(done, boxes, strict=True))
    masks = tuple(Picture(_box_mask(picture.size, box)) for picture, box in zip(pictures, boxes, strict=True))
    return Made((tuple(map(Picture, done)), cropped, cropped, masks, (model, detector), ()))


def face_box(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels; at least one pixel each way."""
    left, top, right, bottom = (round(share * size[place % 2]) for place, share in enumerate(_FACE))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def oval(size: tuple[int, int], box: tuple[int, int, int, int], feather: int) -> Image.Image:
    """A mask of `size`: 255 inside the oval in that box, falling off over `feather` pixels at its edge."""
    mask = Image.new("L", size, 0)
    left, top, right, bottom = box
    inset = min(feather, (right - left) // 4, (bottom - top) // 4)
    ImageDraw.Draw(mask).ellipse((left + inset, top + inset, right - inset, bottom - inset), fill=255)
    return mask.filter(ImageFilter.BoxBlur(inset / 2)) if inset else mask


def _detailed(call: Call, picture: Picture, box: tuple[int, int, int, int], number: int) -> Image.Image:
    image = picture.saved().convert("RGB")
    recipe = Recipe(
        prompt=call.text("wildcard") or call.get("positive", Conditioning).text,
        negative=call.get("negative", Conditioning).text,
        model=call.get("model", Model).title(),
        seed=call.int("seed") + number,
        cfg=call.float("cfg"),
        server_seed=call.shop.config.seed,
    )
    size = (box[2] - box[0], box[3] - box[1])
    face = image.copy()
    face.paste(Image.blend(image.crop(box), draw(recipe, size), call.float("denoise")), box[:2])
    return Image.composite(face, image, oval(image.size, box, call.int("feather")))


def _box_mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    return mask


RETOUCHING_NODES: Mapping[str, Node] = {
    "Lora Loader Stack (rgthree)": stack_loras,
    "UltralyticsDetectorProvider": load_detector,
    "FaceDetailer": detail_face,
}
