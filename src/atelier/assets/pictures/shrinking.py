"""A small picture of a picture, or of a video's first frame: blocking, for threads."""

from dataclasses import dataclass
from typing import Any, cast

from PIL import Image, ImageOps

from atelier.assets.pictures import encoding
from atelier.assets.pictures.containers import media
from atelier.assets.pictures.model import Marks, PictureFormat
from atelier.assets.pictures.reading import MOST_PIXELS, Encoded, NotAPicture, PictureTooLarge, opened

QUALITY = 80


@dataclass(frozen=True, slots=True)
class Small:
    """A WebP and its size in pixels."""

    content: bytes
    width: int
    height: int


def of_picture(content: Encoded, size: int) -> Small:
    """At most `size` pixels wide and high, upright, without a word; of what moves the first frame.

    Raises NotAPicture, PictureTooLarge.
    """
    with opened(content) as image:
        image.draft("", (2 * size, 2 * size))  # a JPEG need not be decoded whole
        return _shrunk(ImageOps.exif_transpose(image), size)


def of_video(content: Encoded, content_type: str, size: int) -> Small:
    """The same of a video's first frame, turned as its player would. Raises NotAPicture, PictureTooLarge."""
    try:
        return _shrunk(_first_frame(content, content_type), size)
    except media.TROUBLE as error:
        raise NotAPicture from error


def _shrunk(image: Image.Image, size: int) -> Small:
    plain, profile = encoding.shown(image, PictureFormat.WEBP)
    plain.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
    made = encoding.written(plain, profile, PictureFormat.WEBP, QUALITY, Marks())
    return Small(made, plain.width, plain.height)


def _first_frame(content: Encoded, content_type: str) -> Image.Image:
    with media.reading(content, content_type) as container:
        if not container.streams.video:
            raise NotAPicture
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec.width * codec.height > MOST_PIXELS:
            raise PictureTooLarge
        codec.thread_count = 1
        codec.options = {"max_pixels": str(MOST_PIXELS)}  # also for frames that are larger than the file said
        for frame in container.decode(stream):
            shown: Image.Image = cast("Any", frame).to_image()
            return shown.rotate(frame.rotation, expand=True)
    raise NotAPicture
