"""Pixels in another format: the same colours, as far as it has them; transparency over white where it has none."""

import io
import tempfile
from typing import Any

from PIL import Image, ImageCms, ImageOps

from atelier.assets.pictures.model import Marks, PictureFormat
from atelier.assets.pictures.reading import DAMAGED, NotAPicture
from atelier.assets.pictures.turns import SMALL
from atelier.kit.errors import Refusal

WEBP_METHOD = 4
"""Of 0 to 6: half the time of 6, a few per cent larger."""

WIDEST = {PictureFormat.WEBP: 16_383, PictureFormat.JPEG: 65_500, PictureFormat.AVIF: 65_535}
"""Pixels of one side that a format, or its encoder, can have at most."""

_AS_THEY_ARE = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
"""What a PNG holds of what Pillow has."""

_DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_SPACES = {"CMYK": b"CMYK", "L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
_PROFILE_SPACE = slice(16, 20)


class TooWide(Refusal):
    """The format has no pictures of this size."""

    code = "image_too_large"


def encoded(image: Image.Image, wanted: PictureFormat, quality: int, marks: Marks) -> bytes:
    """The picture, turned as its EXIF says. `quality` 1-100 (PNG has none). AVIF says `marks`, others nothing.

    Raises NotAPicture, TooWide.
    """
    if max(image.size) > (widest := WIDEST.get(wanted, max(image.size))):
        raise TooWide(
            f"A picture of {image.width} x {image.height} pixels is wider than {wanted} can be: {widest}."
        )
    plain, profile = shown(ImageOps.exif_transpose(image), wanted)
    return written(plain, profile, wanted, quality, marks)


def shown(image: Image.Image, wanted: PictureFormat) -> tuple[Image.Image, bytes]:
    """What is seen of it, as the format has it: pixels and, if they need one, their colour profile."""
    plain = _plain(image, wanted)
    return plain, _profile(plain, image.info.get("icc_profile"))


def written(plain: Image.Image, profile: bytes, wanted: PictureFormat, quality: int, marks: Marks) -> bytes:
    """What `shown` gave, encoded."""
    into = io.BytesIO()
    match wanted:
        case PictureFormat.WEBP:
            plain.save(into, "WEBP", quality=quality, method=WEBP_METHOD, icc_profile=profile, exif=b"", xmp=b"")
        case PictureFormat.JPEG:
            return _jpeg(plain, profile, quality)
        case PictureFormat.AVIF:
            speed = 8 if plain.width * plain.height <= SMALL else 10
            told = {"exif": marks.exif, "xmp": marks.xmp}
            plain.save(into, "AVIF", quality=quality, speed=speed, max_threads=1, icc_profile=profile, **told)
        case PictureFormat.PNG:
            plain.save(into, "PNG", compress_level=4, icc_profile=profile or None)
        case PictureFormat.ORIGINAL:
            raise NotAPicture
    return into.getvalue()


def _jpeg(plain: Image.Image, profile: bytes, quality: int) -> bytes:
    """By way of a real file: only into one does Pillow encode without keeping all other threads from running."""
    with tempfile.TemporaryFile() as into:
        plain.save(into, "JPEG", quality=quality, optimize=True, icc_profile=profile or None)
        into.seek(0)
        return into.read()


def _plain(image: Image.Image, wanted: PictureFormat) -> Image.Image:
    """In a mode that the format has, eight bits a channel but in a PNG, without what it said of itself."""
    if wanted is PictureFormat.PNG and image.mode in _AS_THEY_ARE:
        plain = image.copy()
    elif image.mode in _DEEP:
        plain = _eight_bits(image)
    elif image.has_transparency_data:
        plain = image.convert("RGBA")
    elif image.mode == "L" and wanted is PictureFormat.JPEG:
        plain = image.copy()
    else:
        plain = _colours(image)
    if wanted is PictureFormat.JPEG and plain.mode == "RGBA":
        white = Image.new("RGBA", plain.size, "white")
        plain = Image.alpha_composite(white, plain).convert("RGB")
    transparency = plain.info.get("transparency")
    plain.info = {} if transparency is None else {"transparency": transparency}
    return plain


def _eight_bits(image: Image.Image) -> Image.Image:
    """The high byte: Pillow would cut off at 255."""
    deep = image.convert("I")
    return deep.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")


def _colours(image: Image.Image) -> Image.Image:
    """As sRGB where the picture has a profile of another kind of colours, as print has."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile[_PROFILE_SPACE] != b"RGB " and _fits(image.mode, profile):
        try:
            cms: Any = ImageCms  # its types are not written down
            srgb = cms.createProfile("sRGB")
            seen = cms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, *DAMAGED):
            seen = None
        if isinstance(seen, Image.Image):
            return seen
    return image.convert("RGB")


def _profile(plain: Image.Image, profile: object) -> bytes:
    """The profile is part of the colours, so it stays whatever is said; one of other colours than these goes."""
    return profile if isinstance(profile, bytes) and _fits(plain.mode, profile) else b""


def _fits(mode: str, profile: bytes) -> bool:
    return _SPACES.get(mode) == profile[_PROFILE_SPACE]
