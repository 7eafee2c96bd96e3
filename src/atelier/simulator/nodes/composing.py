"""Pictures, masks and words are put together and taken apart; what mixes no pixels gives ComfyUI's bytes."""

import math
from collections.abc import Mapping

from PIL import Image, ImageChops

from atelier.simulator.nodes.call import Call, Made, Node, Pictures
from atelier.simulator.nodes.images import FILTERS, inverted
from atelier.simulator.pictures import Picture, resized

_MEGAPIXEL = 1024 * 1024


def scale_to_pixels(call: Call) -> Made:
    """The same proportions with so many pixels in all; ComfyUI's megapixel is 1024 x 1024."""
    pictures = call.pictures("image")
    width, height = pictures[0].size
    factor = math.sqrt(call.float("megapixels") * _MEGAPIXEL / (width * height))
    size, how = (round(width * factor), round(height * factor)), FILTERS[call.text("upscale_method")]
    return Made((tuple(Picture(resized(picture.saved(), size, how)) for picture in pictures),))


def from_batch(call: Call) -> Made:
    """Past the end it is the last picture, as in ComfyUI."""
    pictures = call.pictures("image")
    first = min(call.int("batch_index"), len(pictures) - 1)
    return Made((pictures[first : first + min(call.int("length"), len(pictures) - first)],))


def repeat(call: Call) -> Made:
    return Made((call.pictures("image") * call.int("amount"),))


def composite(call: Call) -> Made:
    """The source over the destination at a place, where the mask shows it."""
    destinations, sources = call.pictures("destination"), call.pictures("source")
    masks = call.inputs.get("mask")
    made = [
        _laid(call, picture, sources[number % len(sources)], masks[number % len(masks)] if masks else None)
        for number, picture in enumerate(destinations)
    ]
    return Made((tuple(made),))


def grow_mask(call: Call) -> Made:
    """By whole pixels; a step is a square, with tapered corners a plus sign; a negative number shrinks."""
    steps, tapered = call.int("expand"), call.get("tapered_corners", bool)
    made = tuple(Picture(grown(mask.saved(), steps, tapered=tapered)) for mask in call.pictures("mask"))
    return Made((made,))


def threshold_mask(call: Call) -> Made:
    bound = call.float("value")
    masks = call.pictures("mask")
    return Made((tuple(mask.mapped(lambda value: float(value > bound)) for mask in masks),))


def join_alpha(call: Call) -> Made:
    """The mask is what becomes transparent: alpha is 1 - mask."""
    masks = call.pictures("alpha")
    made = [
        _with_alpha(picture, inverted(masks[number % len(masks)]))
        for number, picture in enumerate(call.pictures("image"))
    ]
    return Made((tuple(made),))


def split_alpha(call: Call) -> Made:
    """Colours alone, and a mask that is 1 where the picture is transparent."""
    pictures: Pictures = call.pictures("image")
    colours = tuple(Picture(picture.saved().convert("RGB")) for picture in pictures)
    return Made((colours, tuple(inverted(Picture(alpha_of(picture))) for picture in pictures)))


def concatenate(call: Call) -> Made:
    return Made((call.text("delimiter").join((call.text("string_a"), call.text("string_b"))),))


def value(call: Call) -> Made:
    return Made((call.inputs["value"],))


def alpha_of(picture: Picture) -> Image.Image:
    """The alpha of a picture, opaque where it has none."""
    image = picture.saved()
    return image.getchannel("A") if "A" in image.getbands() else Image.new("L", image.size, 255)


def grown(mask: Image.Image, steps: int, *, tapered: bool) -> Image.Image:
    """Each step every pixel takes the largest value around it; for a negative number the smallest."""
    shrinks = steps < 0
    spread = ImageChops.invert(mask) if shrinks else mask
    for _ in range(min(abs(steps), max(mask.size))):
        across = _widened(spread, ((-1, 0), (1, 0)))
        down = _widened(spread if tapered else across, ((0, -1), (0, 1)))
        spread = ImageChops.lighter(across, down)
    return ImageChops.invert(spread) if shrinks else spread


def _widened(mask: Image.Image, ways: tuple[tuple[int, int], ...]) -> Image.Image:
    widened = mask
    for way in ways:
        moved = Image.new("L", mask.size, 0)
        moved.paste(mask, way)
        widened = ImageChops.lighter(widened, moved)
    return widened


def _laid(call: Call, under: Picture, over: Picture, mask: Picture | None) -> Picture:
    below, above = under.saved().copy(), over.saved().convert(under.image.mode)
    if call.get("resize_source", bool):
        above = resized(above, below.size)
    shown = resized(mask.saved().convert("L"), above.size) if mask is not None else None
    below.paste(above, (call.int("x"), call.int("y")), shown)
    return Picture(below)


def _with_alpha(picture: Picture, alpha: Picture) -> Picture:
    image = picture.saved().convert("RGBA")
    image.putalpha(resized(alpha.saved().convert("L"), image.size))
    return Picture(image)


COMPOSING_NODES: Mapping[str, Node] = {
    "ImageScaleToTotalPixels": scale_to_pixels,
    "ImageFromBatch": from_batch,
    "RepeatImageBatch": repeat,
    "ImageCompositeMasked": composite,
    "GrowMask": grow_mask,
    "ThresholdMask": threshold_mask,
    "JoinImageWithAlpha": join_alpha,
    "SplitImageWithAlpha": split_alpha,
}

WORD_NODES: Mapping[str, Node] = {
    "StringConcatenate": concatenate,
    "PrimitiveString": value,
    "PrimitiveStringMultiline": value,
    "PrimitiveInt": value,
    "PrimitiveFloat": value,
    "PrimitiveBoolean": value,
}
