"""What becomes of a file on its way to whom it was made for: blocking, for threads.

A picture that has the wanted format already is not encoded again, and neither is one that moves: what it says is
changed in its container, and its pixels stay the same bytes. What cannot be converted raises, and stays as it is.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from atelier.assets.pictures import encoding, exif, marking
from atelier.assets.pictures.containers import gif, jpeg, media, png, webp
from atelier.assets.pictures.model import Delivered, Delivery, Found, Marks, Metadata, PictureFormat
from atelier.assets.pictures.reading import Encoded, opened
from atelier.kit.errors import Refusal

_STRIPPED: dict[str, Callable[[bytes], bytes]] = {
    "PNG": png.stripped,
    "JPEG": jpeg.stripped,
    "WEBP": webp.stripped,
    "GIF": gif.stripped,
}
_MARKED: dict[str, Callable[[bytes, Marks], bytes]] = {"PNG": png.marked, "JPEG": jpeg.marked, "WEBP": webp.marked}
_KINDS = {f"image/{kind.lower()}": kind for kind in _STRIPPED}
_SAYS_NOTHING = frozenset({"BMP", "PPM", "TGA"})


class CannotStrip(Refusal):
    """A file of a kind whose words Atelier cannot take away without harm."""

    code = "cannot_strip"


def picture(content: Encoded, delivery: Delivery) -> Delivered | None:
    """The picture as it is delivered; None for one that stays as it is.

    Raises NotAPicture, PictureTooLarge, TooWide, CannotStrip.
    """
    if delivery.untouched:
        return None
    with opened(content) as image:
        kind = "JPEG" if image.format == "MPO" else image.format or ""
        if _moves(image):
            return None if delivery.metadata is Metadata.KEEP else _said_anew(content, kind, delivery, Found())
        if delivery.format in {PictureFormat.ORIGINAL, kind.lower()}:
            return _said_anew(content, kind, delivery, marking.found(image, decoded=False), image)
        return _converted(image, delivery, delivery.format)


def silenced(content: Encoded, content_type: str, delivery: Delivery) -> Delivered:
    """A picture that cannot be converted, in its own format, without what it may not say. No pixel is decoded.

    Raises NotAPicture, CannotStrip.
    """
    made = _said_anew(content, _KINDS.get(content_type, content_type), delivery, Found())
    if made is None:
        raise CannotStrip("There is nothing that could be taken away.")
    return made


def medium(content: Encoded, content_type: str, delivery: Delivery) -> Delivered | None:
    """A video or a sound as it is delivered: never converted, and without what it said unless that is kept.

    Raises CannotStrip.
    """
    if delivery.metadata is Metadata.KEEP:
        return None
    try:
        return Delivered(media.stripped(content, content_type))
    except media.NotSafe as error:
        raise CannotStrip(f"What this {content_type} says of itself cannot be taken away: {error}") from error


def _moves(image: Image.Image) -> bool:
    return getattr(image, "n_frames", 1) > 1


def _converted(image: Image.Image, delivery: Delivery, wanted: PictureFormat) -> Delivered:
    image.load()
    before = marking.found(image)
    upright = dataclasses.replace(before, exif=exif.without_orientation(before.exif))  # its pixels are turned
    marks = marking.marks(upright, delivery, wanted.upper())
    made = encoding.encoded(image, wanted, delivery.quality, marks)
    mark = _MARKED.get(wanted.upper())
    return Delivered(mark(made, marks) if mark else made, wanted.content_type, wanted.suffix)


def _said_anew(
    content: Encoded, kind: str, delivery: Delivery, before: Found, still: Image.Image | None = None
) -> Delivered | None:
    """The same pixels with other words; of an AVIF, whose container is not taken apart here, almost the same."""
    strip, mark = _STRIPPED.get(kind), _MARKED.get(kind)
    if kind in _SAYS_NOTHING or (delivery.metadata is Metadata.KEEP and mark is None):
        return None
    if kind == "AVIF" and still is not None:
        return _converted(still, delivery, PictureFormat.AVIF)
    whole = content.read_bytes() if isinstance(content, Path) else content
    if delivery.metadata is not Metadata.KEEP:
        if strip is None:
            raise CannotStrip(f"What a {kind} says of itself cannot be taken away without harm.")
        whole = strip(whole)
    return Delivered(mark(whole, marking.marks(before, delivery, kind)) if mark else whole)
