"""LivePortrait: a face moves, one frame for each frame that drives it, and the rest of the photo rests."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw

from atelier.simulator.drawing import mark
from atelier.simulator.moving import turning
from atelier.simulator.nodes.call import Call, Made, Node, Pictures
from atelier.simulator.nodes.retouching import face_box, oval
from atelier.simulator.pictures import Picture, resized

_SWAY = 0.06
"""How far a face moves at strength 1, as a share of its side."""

_STEPS = 20
_MOUTH = (70, 20, 25)


@dataclass(frozen=True, slots=True)
class Pipeline:
    mode: str


@dataclass(frozen=True, slots=True)
class Cropper:
    device: str


@dataclass(frozen=True, slots=True)
class Crop:
    """Where the face lies in its photo: left, top, right, bottom in pixels."""

    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Retargeting:
    eyes: float
    lips: float


def load_models(call: Call) -> Made:
    mode = str(call.inputs.get("mode", "human"))
    call.shop.sleep(call.shop.memory.need("liveportrait", mode))
    return Made((Pipeline(mode),))


def load_cropper(call: Call) -> Made:
    return Made((Cropper(str(call.inputs.get("onnx_device", "CPU"))),))


def crop_face(call: Call) -> Made:
    """The face as a square of `dsize`, and where it was."""
    call.get("cropper", Cropper)
    picture = call.pictures("source_image")[0].saved().convert("RGB")
    box, side = _wider(face_box(picture.size), picture.size, call.float("scale")), call.int("dsize")
    return Made(((Picture(resized(picture.crop(box), (side, side))),), Crop(box)))


def retarget(call: Call) -> Made:
    eyes, lips = call.get("eye_retargeting", bool), call.get("lip_retargeting", bool)
    strengths = call.float("eyes_retargeting_multiplier"), call.float("lip_retargeting_multiplier")
    return Made((Retargeting(strengths[0] * eyes, strengths[1] * lips),))


def animate(call: Call) -> Made:
    """As many frames as drive it (with `cut` at most as many as the source has)."""
    call.get("pipeline", Pipeline)
    source, driving = call.pictures("source_image"), call.pictures("driving_images")
    count = min(len(driving), len(source)) if call.text("mismatch_method") == "cut" else len(driving)
    for step in range(1, _STEPS + 1):
        call.shop.sleep(call.shop.config.step_seconds)
        call.watch(round(step * count / _STEPS), count)
    crop = call.get("crop_info", Crop)
    face = resized(source[0].saved().convert("RGB").crop(crop.box), (512, 512))
    strength = call.float("delta_multiplier")
    frames = turning(count, lambda angle: _turned(face, strength, angle))
    return Made((tuple(map(Picture, frames)), crop))


def compose(call: Call) -> Made:
    """The moving face back in its photo; a loop of few pictures stays one of few pictures."""
    photo = call.pictures("source_image")[0].saved().convert("RGB")
    frames: Pictures = call.pictures("cropped_image")
    box = call.get("liveportrait_out", Crop).box
    shown = oval(photo.size, box, max(2, (box[2] - box[0]) // 10))
    if mask := call.inputs.get("mask"):
        shown = resized(mask[0].saved().convert("L"), photo.size)
    different = {id(frame.image): frame.image for frame in frames}
    done = {key: Picture(_composed(photo, face, box, shown)) for key, face in different.items()}
    return Made((tuple(done[id(frame.image)] for frame in frames), (Picture(shown),) * len(frames)))


def _turned(face: Image.Image, strength: float, angle: float) -> Image.Image:
    """The face swayed to one side and back, its mouth opening and closing."""
    width, height = face.size
    sway = max(-2.0, min(2.0, strength)) * _SWAY
    moved = (round(width * sway * math.sin(angle)), round(height * sway * 0.5 * math.cos(angle)))
    turned = ImageChops.offset(face, *moved)
    open_by = abs(sway) * height * (1 + math.sin(2 * angle)) / 2
    middle, lips = width / 2 + moved[0], height * 0.7 + moved[1]
    ImageDraw.Draw(turned).ellipse(
        (middle - width / 12, lips - open_by, middle + width / 12, lips + open_by), _MOUTH
    )
    return turned


def _composed(
    photo: Image.Image, face: Image.Image, box: tuple[int, int, int, int], shown: Image.Image
) -> Image.Image:
    moving = photo.copy()
    moving.paste(resized(face, (box[2] - box[0], box[3] - box[1])), box[:2])
    whole = Image.composite(moving, photo, shown)
    mark(whole)
    return whole


def _wider(box: tuple[int, int, int, int], size: tuple[int, int], scale: float) -> tuple[int, int, int, int]:
    """A square `scale` times as wide as half the face around its middle, cut off at the edges of the photo."""
    half = (box[2] - box[0]) * scale / 4
    across, down = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, top = max(0, round(across - half)), max(0, round(down - half))
    return (
        left,
        top,
        max(left + 1, min(size[0], round(across + half))),
        max(top + 1, min(size[1], round(down + half))),
    )


PORTRAIT_NODES: Mapping[str, Node] = {
    "DownloadAndLoadLivePortraitModels": load_models,
    "LivePortraitLoadCropper": load_cropper,
    "LivePortraitLoadMediaPipeCropper": load_cropper,
    "LivePortraitCropper": crop_face,
    "LivePortraitRetargeting": retarget,
    "LivePortraitProcess": animate,
    "LivePortraitComposite": compose,
}
