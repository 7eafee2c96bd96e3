"""Image nodes give what ComfyUI gives, byte for byte, wherever no resampling is involved."""

import io
import json
from collections.abc import Mapping

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageSequence, PngImagePlugin

from atelier.simulator.nodes.call import Call, Made, Node, Pictures
from atelier.simulator.pictures import BYTES, Picture, float32, looked_up, resized

FILTERS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_CHANNELS = {"red": "R", "green": "G", "blue": "B", "alpha": "A"}
_HALF_GREY = (127, 127, 127)


def empty_image(call: Call) -> Made:
    color = call.int("color")
    rgb = (color >> 16 & 255, color >> 8 & 255, color & 255)
    picture = Picture(Image.new("RGB", (call.int("width"), call.int("height")), rgb))
    return Made(((picture,) * call.int("batch_size"),))


def load_image(call: Call) -> Made:
    """Every frame as RGB, and its mask: 1 - alpha, or 64x64 zeros where there is no alpha."""
    pictures: list[Picture] = []
    masks: list[Picture] = []
    with Image.open(_input_path(call)) as opened:
        for frame in ImageSequence.Iterator(opened):
            upright = _eight_bits(ImageOps.exif_transpose(frame))
            picture = Picture(upright.convert("RGB"))
            if pictures and picture.size != pictures[0].size:
                continue
            pictures.append(picture)
            masks.append(_mask_of(upright))
    return Made((tuple(pictures), tuple(masks)))


def load_image_mask(call: Call) -> Made:
    """One channel as a mask; alpha is turned round (opaque is 0), a missing channel is 64x64 zeros."""
    with Image.open(_input_path(call)) as opened:
        upright = _eight_bits(ImageOps.exif_transpose(opened))
    if upright.getbands() != ("R", "G", "B", "A"):
        upright = upright.convert("RGBA")
    channel = _CHANNELS[call.text("channel")]
    mask = Picture(upright.getchannel(channel))
    return Made(((inverted(mask) if channel == "A" else mask,),))


def invert(call: Call) -> Made:
    return Made((tuple(inverted(picture) for picture in call.pictures("image")),))


def blur(call: Call) -> Made:
    """A Gauss filter of this sigma; ComfyUI cuts its bell off at `blur_radius`."""
    bell = ImageFilter.GaussianBlur(min(call.float("sigma"), float(call.int("blur_radius"))))
    return Made((tuple(Picture(picture.saved().filter(bell)) for picture in call.pictures("image")),))


def invert_mask(call: Call) -> Made:
    return Made((tuple(inverted(picture) for picture in call.pictures("mask")),))


def crop(call: Call) -> Made:
    """The corner is moved inside the image, the far side is cut off at its edge."""
    made: list[Picture] = []
    for picture in call.pictures("image"):
        width, height = picture.size
        left, top = min(call.int("x"), width - 1), min(call.int("y"), height - 1)
        box = (left, top, min(width, left + call.int("width")), min(height, top + call.int("height")))
        made.append(Picture(picture.image.crop(box), picture.table))
    return Made((tuple(made),))


def scale(call: Call) -> Made:
    width, height = call.int("width"), call.int("height")
    made = tuple(
        _scaled(picture, _target(picture.size, width, height), call.text("upscale_method"), call.text("crop"))
        for picture in call.pictures("image")
    )
    return Made((made,))


def scale_by(call: Call) -> Made:
    factor = call.float("scale_by")
    made = tuple(
        _scaled(
            picture,
            (round(picture.size[0] * factor), round(picture.size[1] * factor)),
            call.text("upscale_method"),
            "disabled",
        )
        for picture in call.pictures("image")
    )
    return Made((made,))


def batch(call: Call) -> Made:
    """Both batches in one; images of another size are fitted to the first by cutting the centre."""
    first, second = call.pictures("image1"), call.pictures("image2")
    fitted = tuple(_scaled(picture, first[0].size, "bilinear", "center") for picture in second)
    return Made((first + fitted,))


def pad_for_outpaint(call: Call) -> Made:
    """Half grey around the image, and a mask that is 1 outside and falls off inside over `feathering` pixels."""
    left, top = call.int("left"), call.int("top")
    right, bottom = call.int("right"), call.int("bottom")
    pictures: list[Picture] = []
    size = call.pictures("image")[0].size
    for picture in call.pictures("image"):
        canvas = Image.new("RGB", (size[0] + left + right, size[1] + top + bottom), _HALF_GREY)
        canvas.paste(picture.saved().convert("RGB"), (left, top))
        pictures.append(Picture(canvas))
    mask = Image.new("L", pictures[0].size, 255)
    mask.paste(_feathered(size, call.int("feathering"), (left, top, right, bottom)), (left, top))
    return Made((tuple(pictures), (Picture(mask),)))


def mask_to_image(call: Call) -> Made:
    masks: Pictures = call.pictures("mask")
    return Made((tuple(Picture(Image.merge("RGB", (mask.image,) * 3), mask.table) for mask in masks),))


def image_to_mask(call: Call) -> Made:
    band = _CHANNELS[call.text("channel")]
    pictures: Pictures = call.pictures("image")
    return Made((tuple(Picture(picture.image.getchannel(band), picture.table) for picture in pictures),))


def solid_mask(call: Call) -> Made:
    value = float32(call.float("value"))
    image = Image.new("L", (call.int("width"), call.int("height")), 0)
    return Made(((Picture(image, (value,) * 256),),))


def image_size(call: Call) -> Made:
    pictures = call.pictures("image")
    width, height = pictures[0].size
    call.say(f"width: {width}, height: {height}\n batch size: {len(pictures)}")
    return Made((width, height, len(pictures)))


def save_image(call: Call) -> Made:
    return saved_pictures(call, call.pictures("images"), "output", call.text("filename_prefix"))


def preview_image(call: Call) -> Made:
    prefix = "ComfyUI" + call.shop.temp_prefix(call.node_id)
    return saved_pictures(call, call.pictures("images"), "temp", prefix, compress_level=1)


def save_animated_webp(call: Call) -> Made:
    """One file for the whole batch, and the word `animated` beside it."""
    pictures = call.pictures("images")
    saves = call.shop.folders.next_save("output", call.text("filename_prefix"), pictures[0].size)
    path, stored = saves.place(0, "webp")
    call.shop.write(path)
    first, *others = (picture.saved() for picture in pictures)
    first.save(
        path,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=round(1000.0 / call.float("fps")),
        lossless=call.get("lossless", bool),
        quality=call.int("quality"),
    )
    return Made(ui={"images": [stored.as_json()], "animated": [len(pictures) > 1]})


def preview_any(call: Call) -> Made:
    """Any value in words: an output without a file."""
    value = call.inputs["source"]
    return Made(ui={"text": [value if isinstance(value, str) else json.dumps(value, default=str)]})


def save_image_websocket(call: Call) -> Made:
    """Each image goes out as a PNG preview frame; nothing is written and nothing shown in history."""
    pictures = call.pictures("images")
    for number, picture in enumerate(pictures):
        encoded = io.BytesIO()
        picture.saved().save(encoded, "PNG")
        call.watch(number, len(pictures), encoded.getvalue(), "image/png")
    return Made()


def png_info(call: Call) -> PngImagePlugin.PngInfo:
    """The graph as `prompt`, and each key of extra_pnginfo, as ComfyUI writes them."""
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(call.graph))
    for key, value in call.extra_pnginfo.items():
        info.add_text(key, json.dumps(value))
    return info


def saved_pictures(call: Call, pictures: Pictures, kind: str, prefix: str, *, compress_level: int = 4) -> Made:
    """Each picture as a PNG with the graph in it, and what names them; nothing is handed on."""
    saves = call.shop.folders.next_save(kind, prefix, pictures[0].size)
    info = png_info(call)
    shown: list[Mapping[str, str]] = []
    for number, picture in enumerate(pictures):
        path, stored = saves.place(number)
        call.shop.write(path)
        picture.saved().save(path, "PNG", pnginfo=info, compress_level=compress_level)
        shown.append(stored.as_json())
    return Made(ui={"images": shown})


def _input_path(call: Call) -> str:
    path = call.shop.folders.annotated(call.text("image"))
    if path is None:
        msg = f"Invalid image file: {call.text('image')}"
        raise ValueError(msg)
    return str(path)


def _eight_bits(image: Image.Image) -> Image.Image:
    return looked_up(image, [value // 256 for value in range(65536)], "L") if image.mode == "I;16" else image


def _mask_of(image: Image.Image) -> Picture:
    if "A" in image.getbands():
        return inverted(Picture(image.getchannel("A")))
    if image.mode == "P" and "transparency" in image.info:
        return inverted(Picture(image.convert("RGBA").getchannel("A")))
    return Picture(Image.new("L", (64, 64), 0))


def inverted(picture: Picture) -> Picture:
    return picture.mapped(lambda value: 1.0 - value)


def _target(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """ComfyUI's rule: 0 for one side keeps the proportion, 0 for both keeps the size."""
    if width == 0 and height == 0:
        return size
    if width == 0:
        return max(1, round(size[0] * height / size[1])), height
    if height == 0:
        return width, max(1, round(size[1] * width / size[0]))
    return width, height


def _scaled(picture: Picture, size: tuple[int, int], method: str, cropping: str) -> Picture:
    if picture.size == size:
        return picture
    image = picture.saved()
    if cropping == "center":
        image = _centred(image, size)
    return Picture(resized(image, size, FILTERS[method]), BYTES)


def _centred(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    old, new = image.width / image.height, size[0] / size[1]
    left = round((image.width - image.width * (new / old)) / 2) if old > new else 0
    top = round((image.height - image.height * (old / new)) / 2) if old < new else 0
    return image.crop((left, top, image.width - left, image.height - top))


def _feathered(size: tuple[int, int], feathering: int, sides: tuple[int, int, int, int]) -> Image.Image:
    """Squared fall-off from each padded side: ((f - d) / f) ** 2 at distance d from the nearest of them."""
    width, height = size
    if feathering <= 0 or feathering * 2 >= height or feathering * 2 >= width:
        return Image.new("L", size, 0)
    left, top, right, bottom = sides
    across = _ramp(width, feathering, before=left != 0, after=right != 0)
    down = _ramp(height, feathering, before=top != 0, after=bottom != 0).transpose(Image.Transpose.ROTATE_270)
    return ImageChops.lighter(resized(across, size), resized(down, size))


def _ramp(length: int, feathering: int, *, before: bool, after: bool) -> Image.Image:
    values = bytearray(length)
    for place in range(length):
        near = min(place if before else length, length - place if after else length)
        if near < feathering:
            values[place] = int(255.0 * ((feathering - near) / feathering) ** 2)
    return Image.frombytes("L", (length, 1), bytes(values))


IMAGE_NODES: Mapping[str, Node] = {
    "EmptyImage": empty_image,
    "LoadImage": load_image,
    "LoadImageMask": load_image_mask,
    "ImageInvert": invert,
    "ImageBlur": blur,
    "InvertMask": invert_mask,
    "ImageCrop": crop,
    "ImageScale": scale,
    "ImageScaleBy": scale_by,
    "ImageBatch": batch,
    "ImagePadForOutpaint": pad_for_outpaint,
    "MaskToImage": mask_to_image,
    "ImageToMask": image_to_mask,
    "SolidMask": solid_mask,
    "GetImageSize": image_size,
    "SaveImage": save_image,
    "PreviewImage": preview_image,
    "SaveImageWebsocket": save_image_websocket,
    "SaveAnimatedWEBP": save_animated_webp,
    "PreviewAny": preview_any,
}
