"""Backgrounds go and boxes are found: Easy-Use cuts a figure out with a real alpha, essentials crops to a mask."""

from collections.abc import Mapping

from PIL import Image, ImageChops, ImageFilter

from atelier.simulator.drawing import mark
from atelier.simulator.nodes.call import Call, Made, Node
from atelier.simulator.nodes.images import saved_pictures
from atelier.simulator.nodes.retouching import oval
from atelier.simulator.pictures import Picture, looked_up, resized

_PLAIN = 24
"""A border whose colours lie no further apart than this is one plain background."""

_FOREIGN = 32
"""A pixel that differs from a plain background by more than this belongs to the figure."""

_FIGURE = (0.08, 0.06, 0.92, 0.96)
"""Without a plain background, the oval that is kept; shares of the sides."""


def remove_background(call: Call) -> Made:
    """Pictures with alpha (or on white or black), and masks that are 1 on the figure."""
    pictures = call.pictures("images")
    call.shop.sleep(call.shop.memory.need("rembg", call.text("rem_mode")))
    masks = [figure(picture.saved().convert("RGB")) for picture in pictures]
    ground = call.inputs.get("add_background", "none")
    cut = tuple(
        Picture(_cut_out(picture.saved().convert("RGB"), shown, ground))
        for picture, shown in zip(pictures, masks, strict=True)
    )
    made = (cut, tuple(map(Picture, masks)))
    output = call.text("image_output")
    if output in {"Hide", "Hide/Save"}:
        if output == "Hide/Save":
            saved_pictures(call, cut, "output", call.text("save_prefix"))
        return Made(made)
    kind = "temp" if output == "Preview" else "output"
    return Made(made, ui=saved_pictures(call, cut, kind, call.text("save_prefix")).ui)


def bounding_box(call: Call) -> Made:
    """Masks and images cropped to the box around all that is shown, and that box; RuntimeError for nothing."""
    masks = [mask.saved() for mask in call.pictures("mask")]
    if radius := call.int("blur"):
        masks = [mask.filter(ImageFilter.GaussianBlur(radius / 3)) for mask in masks]
    box = _around(masks, call.int("padding"))
    given = call.inputs.get("image_optional") or tuple(Picture(mask.convert("RGB")) for mask in masks)
    images = [given[min(number, len(given) - 1)].saved() for number in range(len(masks))]
    fitted = [image if image.size == masks[0].size else resized(image, masks[0].size) for image in images]
    cropped = tuple(Picture(mask.crop(box)) for mask in masks), tuple(Picture(image.crop(box)) for image in fitted)
    return Made((*cropped, box[0], box[1], box[2] - box[0], box[3] - box[1]))


def figure(image: Image.Image) -> Image.Image:
    """What is no background: all that differs from a plain border, else an oval in the middle."""
    width, height = image.size
    edges = [image.crop(box) for box in ((0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height))]
    if all(_is_plain(edge) for edge in edges):
        plain = Image.new("RGB", image.size, image.getpixel((0, 0)))
        red, green, blue = ImageChops.difference(image, plain).split()
        strongest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
        mask = looked_up(strongest, [255 * (byte > _FOREIGN) for byte in range(256)])
        if mask.getbbox() is not None:
            return mask.filter(ImageFilter.BoxBlur(1))
    left, top, right, bottom = (round(share * image.size[place % 2]) for place, share in enumerate(_FIGURE))
    return oval(image.size, (left, top, right, bottom), max(2, min(width, height) // 48))


def _is_plain(edge: Image.Image) -> bool:
    return all(max(band) - min(band) <= _PLAIN for band in (part.tobytes() for part in edge.split()))


def _cut_out(image: Image.Image, shown: Image.Image, ground: str) -> Image.Image:
    """Outside the figure nothing is left, not even its colours; the figure says what it is."""
    mark(image, middle=True)
    if ground != "none":
        return Image.composite(image, Image.new("RGB", image.size, ground), shown)
    cut = Image.new("RGBA", image.size, (0, 0, 0, 0))
    cut.paste(image, mask=shown)
    return cut


def _around(masks: list[Image.Image], padding: int) -> tuple[int, int, int, int]:
    boxes = [box for mask in masks if (box := mask.getbbox()) is not None]
    if not boxes:
        msg = "min(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim."
        raise RuntimeError(msg)
    width, height = masks[0].size
    left, top = (max(0, min(box[place] for box in boxes) - padding) for place in (0, 1))
    right = min(width, max(box[2] for box in boxes) + padding)
    return left, top, right, min(height, max(box[3] for box in boxes) + padding)


CUTTING_NODES: Mapping[str, Node] = {
    "easy imageRemBg": remove_background,
    "MaskBoundingBox+": bounding_box,
}
