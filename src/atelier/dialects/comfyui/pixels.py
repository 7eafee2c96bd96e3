"""What is done to the pixels of a picture: blocking, for threads; memory stays bounded whatever a file holds."""

import io
from dataclasses import dataclass
from typing import Literal

from PIL import Image, PngImagePlugin

from atelier.assets.pictures.reading import Encoded, opened
from atelier.kit.errors import Refusal

DEFAULT_QUALITY = 90


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


def render(content: Encoded, variant: Variant) -> bytes:
    """Raises NotAPicture, PictureTooLarge."""
    encoded = io.BytesIO()
    with opened(content) as image:
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
    with opened(original) as image:
        if image.size != alpha.size:
            raise SizesDiffer(f"The mask is {_spelled(alpha)}, what it masks is {_spelled(image)}.")
        texts = _texts(image)
        merged = image.convert("RGBA")
        merged.putalpha(alpha)
        merged.save(encoded, "PNG", compress_level=4, pnginfo=texts)
    return encoded.getvalue()


def _only_alpha(image: Image.Image) -> Image.Image:
    """Black, as transparent as the picture is."""
    alone = Image.new("RGBA", image.size)
    alone.putalpha(image.getchannel("A") if "A" in image.getbands() else Image.new("L", image.size, 255))
    return alone


def _alpha_of(mask: Encoded) -> Image.Image:
    with opened(mask) as image:
        return image.convert("RGBA").getchannel("A")


def _texts(image: Image.Image) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if isinstance(image, PngImagePlugin.PngImageFile):
        for key, text in image.text.items():
            info.add_text(key, text)
    return info


def _spelled(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
