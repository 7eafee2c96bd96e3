"""A picture is measured by its header before any pixel is decoded; whatever a file holds, memory stays bounded.

Only formats of pictures are tried: none whose reader runs programs or opens other files.
"""

import io
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from atelier.kit.errors import Refusal

MOST_PIXELS = 64 * 1024 * 1024
"""Of one picture, as 8192 x 8192. Decoded and changed, a pixel takes up to twelve bytes."""

MOST_ENCODED = 256 * 1024 * 1024
"""Bytes of a file that is decoded."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "TGA")
"""What Pillow measures without decoding it; an ICO is decoded when it is opened. MPO is opened as JPEG."""

Encoded = bytes | Path

DAMAGED = (
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


def pixels_of(content: Encoded) -> int:
    """How many the picture has, by its header. Raises NotAPicture, PictureTooLarge."""
    with opened(content) as image:
        return image.width * image.height


@contextmanager
def opened(content: Encoded) -> Generator[Image.Image]:
    """Whatever Pillow says of a damaged file, here or in the block, is NotAPicture. Raises PictureTooLarge."""
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise PictureTooLarge
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge from error
    except DAMAGED as error:
        raise NotAPicture from error
