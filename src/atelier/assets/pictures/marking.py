"""What a picture said before, and what it is to say now, by what may be said and what its format can hold."""

from collections.abc import Mapping

from PIL import Image, PngImagePlugin

from atelier.assets.pictures import exif, words, xmp
from atelier.assets.pictures.containers import jpeg, png
from atelier.assets.pictures.model import Delivery, Found, Marks, Metadata, PictureFormat

_IN_EXIF = frozenset({"prompt", "workflow", "parameters"})


def found(image: Image.Image, *, decoded: bool = True) -> Found:
    """What an opened picture says; of a PNG also what stands behind its pixels, unless they are not `decoded`."""
    texts: dict[str, str] = {}
    if isinstance(image, PngImagePlugin.PngImageFile):
        said = image.text if decoded else image.info
        texts = {str(keyword): str(text) for keyword, text in said.items() if isinstance(text, str)}
    packet = image.info.get("xmp") or texts.pop(png.XMP, "")
    texts.pop(png.XMP, None)
    before = image.info.get("exif")
    comment = image.info.get("comment")
    if comment and not texts:
        texts["Comment"] = comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)
    return Found(
        exif=before.removeprefix(b"Exif\0\0") if isinstance(before, bytes) else b"",
        xmp=packet.encode(errors="replace") if isinstance(packet, str) else bytes(packet),
        texts=texts,
    )


def marks(before: Found, delivery: Delivery, kind: str) -> Marks:
    """For a file of this format (Pillow's name of it)."""
    said = words.allowed(delivery)
    match delivery.metadata:
        case Metadata.STRIP:
            return Marks(exif=exif.bare(before.exif))
        case Metadata.ANONYMISE:
            told = Marks(exif.anonymous(before.exif, said), xmp.packet(said, None, {}, b""))
            return _with_texts(told, {}, words.parameters(said)) if kind == "PNG" else told
        case Metadata.KEEP if kind == "PNG":
            return _kept_in_png(before, delivery)
        case Metadata.KEEP:
            return _kept(before, delivery, kind)


def _kept_in_png(before: Found, delivery: Delivery) -> Marks:
    """It has text chunks of its own, also those that stood in the EXIF of another format."""
    texts = exif.texts_in(before.exif) | dict(before.texts)
    told = Marks(
        exif.kept(
            before.exif,
            delivery.said,
            {name: texts[name] for name in texts if name == "parameters"},
            delivery.made_at,
        ),
        xmp.packet(delivery.said, delivery.made_at, {}, before.xmp),
    )
    return _with_texts(told, texts, exif.comment_in(before.exif) or words.parameters(delivery.said))


def _kept(before: Found, delivery: Delivery, kind: str) -> Marks:
    """One segment of a JPEG holds 64 kB: what is too long for it is left out, the graph first."""
    said, at = delivery.said, delivery.made_at
    known = {name: text for name, text in before.texts.items() if name in _IN_EXIF}
    rest = {name: text for name, text in before.texts.items() if name not in _IN_EXIF}
    brief = {name: value for name, value in said.items() if name != "params"}
    tags = (
        exif.kept(before.exif, said, known, at),
        exif.kept(before.exif, said, {name: known[name] for name in known if name == "parameters"}, at),
        exif.kept(b"", brief, {}, at),
    )
    packets = (
        xmp.packet(said, at, rest, before.xmp),
        xmp.packet(said, at, {}, b""),
        xmp.packet(brief, at, {}, b""),
    )
    bounded = kind == PictureFormat.JPEG.upper()
    return Marks(
        next((one for one in tags if not bounded or len(one) <= jpeg.MOST_EXIF), b""),
        next((one for one in packets if not bounded or len(one) <= jpeg.MOST_XMP), b""),
    )


def _with_texts(told: Marks, texts: Mapping[str, str], parameters: str) -> Marks:
    line = {"parameters": parameters} if parameters else {}
    whole = {**line, **texts, "Software": texts.get("Software", words.SOFTWARE)}
    return Marks(told.exif, told.xmp, tuple(whole.items()))
