"""A WebP's chunks (RFC 9649): what it says can go or come while its pixels stay the same bytes."""

from collections.abc import Iterator, Sequence

from atelier.assets.pictures.model import Marks
from atelier.assets.pictures.reading import NotAPicture

_SHOWN = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_HAS_EXIF, _HAS_XMP, _HAS_ALPHA = 0x08, 0x04, 0x10
_VP8X_BYTES = 10

_Chunk = tuple[bytes, bytes]


def stripped(content: bytes) -> bytes:
    """Only what is seen. Raises NotAPicture."""
    return _whole([chunk for chunk in _chunks(content) if chunk[0] in _SHOWN], 0)


def marked(content: bytes, marks: Marks) -> bytes:
    """With this EXIF and this XMP instead of its own. Raises NotAPicture."""
    chunks = _chunks(content)
    said = {kind: body for kind, body in chunks if kind in {b"EXIF", b"XMP "}}
    exif, xmp = marks.exif or said.get(b"EXIF", b""), marks.xmp or said.get(b"XMP ", b"")
    kept = [chunk for chunk in chunks if chunk[0] not in {b"EXIF", b"XMP "}]
    ours = [(kind, body) for kind, body in ((b"EXIF", exif), (b"XMP ", xmp)) if body]
    if not ours:
        return _whole(kept, 0)
    return _whole([*_extended(kept), *ours], (_HAS_EXIF if exif else 0) | (_HAS_XMP if xmp else 0))


def _extended(chunks: Sequence[_Chunk]) -> list[_Chunk]:
    """With the head that a file needs to say anything; a simple one has none."""
    kind, body = chunks[0]
    if kind == b"VP8X":
        return list(chunks)
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        width, height, flags = bits & 0x3FFF, bits >> 14 & 0x3FFF, _HAS_ALPHA if bits >> 28 & 1 else 0
    elif kind == b"VP8 " and len(body) >= 10:
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height, flags = width - 1, height - 1, 0
    else:
        raise NotAPicture
    head = bytes((flags, 0, 0, 0)) + max(width, 0).to_bytes(3, "little") + max(height, 0).to_bytes(3, "little")
    return [(b"VP8X", head), *chunks]


def _chunks(content: bytes) -> list[_Chunk]:
    found = list(_each(content))
    if not found:
        raise NotAPicture
    return found


def _each(content: bytes) -> Iterator[_Chunk]:
    """What the file's own length counts; what hangs behind it is no part of the picture."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise NotAPicture
    whole = 8 + int.from_bytes(content[4:8], "little")
    if whole > len(content) + 1:
        raise NotAPicture
    place = 12
    while place + 8 <= min(whole, len(content)):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        if place + 8 + size > len(content):
            raise NotAPicture
        yield content[place : place + 4], content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _whole(chunks: Sequence[_Chunk], says: int) -> bytes:
    """`says`: the flags of EXIF and XMP."""
    body = b"".join(_spelled(kind, _flagged(body, says) if kind == b"VP8X" else body) for kind, body in chunks)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _flagged(head: bytes, says: int) -> bytes:
    if len(head) < _VP8X_BYTES:
        raise NotAPicture
    return bytes((head[0] & ~(_HAS_EXIF | _HAS_XMP) & 0xFF | says,)) + head[1:]


def _spelled(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
