"""What is done to the pixels of a picture: blocking, for threads; whatever the file holds, memory stays bounded.

A picture is measured by its header before a pixel of it is decoded, and only formats of pictures are tried: none
whose reader runs programs or opens other files.
"""

import io
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, PngImagePlugin

from atelier.kit.errors import Refusal

MOST_PIXELS = 64 * 1024 * 1024
"""Of one picture, as 8192 x 8192. Decoded and changed, a pixel takes up to twelve bytes."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "TGA")
"""What Pillow measures without decoding it; an ICO is decoded when it is opened. MPO is opened as JPEG."""

DEFAULT_QUALITY = 90

_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's readers raise for files that are not what they seem."""

Encoded = bytes | Path


class NotAPicture(Refusal):
    """The file cannot be read as a picture, or is damaged."""

    code = "not_an_image"

    def __init__(self) -> None:
        super().__init__("This file is not a picture that can be read.")


class PictureTooLarge(Refusal):
    """More pixels than are decoded here; the file itself is served all the same."""

    code = "image_too_large"

    def __init__(self) -> None:
        super().__init__(
            f"The picture has more than {MOST_PIXELS} pixels, which is the most that is decoded here.",
            details={"limit_pixels": MOST_PIXELS},
        )


class SizesDiffer(Refusal):
    """A mask has the size of what it masks."""

    code = "mask_size_mismatch"


@dataclass(frozen=True, slots=True)
class Variant:
    """A smaller copy of a picture, or some of its channels. `quality` is 0 to 100, for webp and jpeg."""

    format: Literal["webp", "jpeg", "png"]
    channel: Literal["", "rgb", "a"] = ""
    quality: int = DEFAULT_QUALITY

    @property
    def content_type(self) -> str:
        return f"image/{self.format}"

    @property
    def tag(self) -> str:
        """For an ETag."""
        return f"{self.format}{self.quality}{self.channel}"


def pixels_of(content: Encoded) -> int:
    """How many the picture has, by its header. Raises NotAPicture, PictureTooLarge."""
    with _opened(content) as image:
        return image.width * image.height


def render(content: Encoded, variant: Variant) -> bytes:
    """Raises NotAPicture, PictureTooLarge."""
    encoded = io.BytesIO()
    with _opened(content) as image:
        match variant:
            case Variant(format="png", channel="a"):
                _only_alpha(image).save(encoded, "PNG")
            case Variant(format="png"):
                image.convert("RGB").save(encoded, "PNG")
            case Variant(format="webp", channel=channel, quality=quality):
                plain = image.convert("RGB") if channel == "rgb" else image
                plain.save(encoded, "WEBP", quality=quality, method=2)
            case Variant(quality=quality):
                image.convert("RGB").save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def masked(original: Encoded, mask: Encoded) -> bytes:
    """The original as PNG with the alpha of the mask instead of its own, and with its text chunks.

    Raises NotAPicture, PictureTooLarge, and SizesDiffer, where ComfyUI fails too (Image.putalpha).
    """
    alpha = _alpha_of(mask)
    encoded = io.BytesIO()
    with _opened(original) as image:
        if image.size != alpha.size:
            raise SizesDiffer(f"The mask is {_spelled(alpha)}, what it masks is {_spelled(image)}.")
        texts = _texts(image)
        merged = image.convert("RGBA")
        merged.putalpha(alpha)
        merged.save(encoded, "PNG", compress_level=4, pnginfo=texts)
    return encoded.getvalue()


@contextmanager
def _opened(content: Encoded) -> Generator[Image.Image]:
    """Whatever Pillow says of a damaged file, here or in the block, is NotAPicture."""
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise PictureTooLarge
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge from error
    except _DAMAGED as error:
        raise NotAPicture from error


def _only_alpha(image: Image.Image) -> Image.Image:
    """Black, as transparent as the picture is."""
    alone = Image.new("RGBA", image.size)
    alone.putalpha(image.getchannel("A") if "A" in image.getbands() else Image.new("L", image.size, 255))
    return alone


def _alpha_of(mask: Encoded) -> Image.Image:
    with _opened(mask) as image:
        return image.convert("RGBA").getchannel("A")


def _texts(image: Image.Image) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if isinstance(image, PngImagePlugin.PngImageFile):
        for key, text in image.text.items():
            info.add_text(key, text)
    return info


def _spelled(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
