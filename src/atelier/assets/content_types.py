"""What bytes are is read from their first bytes; what their sender said is only checked for its form."""

import re
import unicodedata

HEAD_BYTES = 4096
"""How much of a file `sniff` wants to see."""

UNKNOWN = "application/octet-stream"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}
_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/mp4": ".m4a",
    "application/json": ".json",
    "text/plain": ".txt",
    "application/x-safetensors": ".safetensors",
}
_FORM = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}(; ?[a-z0-9-]+=[a-z0-9._-]+)*")
_INLINE = re.compile(r"(image|video|audio)/(?!svg)[^;]+")


def sniff(head: bytes) -> str:
    """The media type of a file that begins with `head` (give up to HEAD_BYTES); UNKNOWN when nothing fits."""
    for offset, magic, media_type in _MAGIC:
        if head.startswith(magic, offset):
            return media_type
    return _container(head) or _mpeg_frame(head) or _safetensors(head) or _text(head) or UNKNOWN


def parse_media_type(text: str) -> str | None:
    """A media type as it may stand in a header: lower case, at most 127 characters; None when it is none."""
    tidy = text.strip().lower()
    return tidy if len(tidy) <= 127 and _FORM.fullmatch(tidy) else None


def extension(media_type: str) -> str:
    """The usual file extension with its dot, or nothing."""
    return _EXTENSIONS.get(media_type.partition(";")[0], "")


def may_show_inline(media_type: str) -> bool:
    """Whether a browser may render it on our origin: pictures, video and sound, but nothing that runs scripts."""
    return _INLINE.fullmatch(media_type) is not None


def _container(head: bytes) -> str | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    return None


def _mpeg_frame(head: bytes) -> str | None:
    """A bare MPEG audio frame: 11 sync bits; version, layer, bit rate and sample rate not reserved."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    reserved = (head[1] >> 3 & 3 == 1, head[1] >> 1 & 3 == 0, head[2] >> 4 == 15, head[2] >> 2 & 3 == 3)
    return None if any(reserved) else "audio/mpeg"


def _safetensors(head: bytes) -> str | None:
    """Eight bytes of little-endian header length (the format allows 100 MB), then a JSON object."""
    length = int.from_bytes(head[:8], "little")
    fits = 2 <= length <= 100_000_000 and head[8:10] in {b'{"', b"{}", b"{ "}
    return "application/x-safetensors" if fits else None


def _text(head: bytes) -> str | None:
    try:
        text = head[:HEAD_BYTES].decode()
    except UnicodeDecodeError as error:
        if error.end < len(head) or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode()
    if not text or any(unicodedata.category(char) == "Cc" and char not in "\t\n\r\f" for char in text):
        return None
    return "application/json" if text.lstrip().startswith(("{", "[")) else "text/plain"
