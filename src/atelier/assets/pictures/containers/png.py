"""A PNG's chunks (W3C PNG, third edition): what it says can go or come while its pixels stay the same bytes."""

import zlib
from collections.abc import Iterator

from atelier.assets.pictures.model import Marks
from atelier.assets.pictures.reading import NotAPicture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP = "XML:com.adobe.xmp"
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_SHOWN = frozenset(
    {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"bKGD", b"hIST", b"sPLT"}
    | {b"pHYs", b"acTL", b"fcTL", b"fdAT"}
)
"""How it looks depends on these; every other ancillary chunk only says something."""

_Chunk = tuple[bytes, bytes]


def stripped(content: bytes) -> bytes:
    """Only what is seen. Raises NotAPicture."""
    return _whole(chunk for chunk in _chunks(content) if chunk[0] in _SHOWN or _critical(chunk[0]))


def marked(content: bytes, marks: Marks) -> bytes:
    """With these marks beside what it says already; a text of a keyword that it has stays its own.

    Raises NotAPicture.
    """
    chunks = list(_chunks(content))
    has = {_keyword(body) for kind, body in chunks if kind in _TEXTS}
    ours = [_text(keyword, text) for keyword, text in marks.texts if keyword.encode() not in has]
    if marks.exif:
        ours.append((b"eXIf", marks.exif))
    if marks.xmp:
        ours.append((b"iTXt", XMP.encode() + b"\0\0\0\0\0" + marks.xmp))
    kept = [chunk for chunk in chunks if not _replaced(chunk, marks)]
    return _whole([*kept[:1], *ours, *kept[1:]])


def _replaced(chunk: _Chunk, marks: Marks) -> bool:
    kind, body = chunk
    is_xmp = kind in _TEXTS and _keyword(body) == XMP.encode()
    return (kind == b"eXIf" and bool(marks.exif)) or (is_xmp and bool(marks.xmp))


def _critical(kind: bytes) -> bool:
    return kind[:1].isupper()


def _keyword(body: bytes) -> bytes:
    return body.partition(b"\0")[0]


def _text(keyword: str, text: str) -> _Chunk:
    """tEXt, which every program reads, where Latin-1 can say it; else iTXt."""
    try:
        return b"tEXt", keyword.encode("latin-1") + b"\0" + text.replace("\0", "").encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", keyword.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode(errors="replace")


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Up to and with IEND; what hangs behind it is no part of the picture."""
    if not content.startswith(SIGNATURE):
        raise NotAPicture
    place = len(SIGNATURE)
    while True:
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(content) or not kind.isalpha():
            raise NotAPicture
        yield kind, content[place + 8 : end - 4]
        if kind == b"IEND":
            return
        place = end


def _whole(chunks: Iterator[_Chunk] | list[_Chunk]) -> bytes:
    return SIGNATURE + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )
