"""A JPEG's segments (ITU T.81, annex B): what it says can go or come while its pixels stay the same bytes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from atelier.assets.pictures.model import Marks
from atelier.assets.pictures.reading import NotAPicture

MOST_EXIF = 65_533 - 6
MOST_XMP = 65_533 - 29
"""Bytes that one segment can hold beside its head."""

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LONG_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_MARKER = re.compile(rb"\xff++([^\x00\xd0-\xd7\xff])?")
"""The next segment behind coded pixels, in which 0xFF is followed by 0 or by the number of a restart.

It matches without a group there: each run of 0xFF is looked at once.
"""


@dataclass(frozen=True, slots=True)
class _Segment:
    """`body` is what its length counts, less the length; `pixels` follow a start of scan."""

    marker: int
    body: bytes
    pixels: bytes = b""

    def spelled(self) -> bytes:
        head = bytes((0xFF, self.marker))
        return head + (len(self.body) + 2).to_bytes(2, "big") + self.body + self.pixels


def stripped(content: bytes) -> bytes:
    """Only what is seen. Raises NotAPicture."""
    return _whole(segment for segment in _segments(content) if _is_shown(segment))


def marked(content: bytes, marks: Marks) -> bytes:
    """With this EXIF and this XMP, of MOST_EXIF and MOST_XMP bytes at most, instead of its own.

    Raises NotAPicture.
    """
    ours = [_Segment(_APP1, _EXIF + marks.exif)] if marks.exif else []
    if marks.xmp:
        ours.append(_Segment(_APP1, _XMP + marks.xmp))
    kept = [segment for segment in _segments(content) if not _replaced(segment, marks)]
    jfif = 1 if kept and kept[0].marker == _APP0 else 0
    return _whole([*kept[:jfif], *ours, *kept[jfif:]])


def _replaced(segment: _Segment, marks: Marks) -> bool:
    if segment.marker != _APP1:
        return False
    if segment.body.startswith(_EXIF):
        return bool(marks.exif)
    return bool(marks.xmp) and segment.body.startswith((_XMP, _LONG_XMP))


def _is_shown(segment: _Segment) -> bool:
    """JFIF's head, the colour profile and Adobe's note of the colour space change what is seen."""
    match segment.marker:
        case marker if marker == _APP0:
            return segment.body.startswith(b"JFIF\0")
        case marker if marker == _APP2:
            return segment.body.startswith(b"ICC_PROFILE\0")
        case marker:
            return marker == _APP14 or not (_APP0 <= marker <= _APP15 or marker == _COM)


def _segments(content: bytes) -> Iterator[_Segment]:
    """Up to the end of the picture; what hangs behind it is no part of it."""
    if not content.startswith(b"\xff\xd8"):
        raise NotAPicture
    place = 2
    while True:
        found = _MARKER.match(content, place)
        if found is None or found[1] is None:
            raise NotAPicture
        marker, place = found[1][0], found.end()
        if marker == _EOI:
            return
        end = place + int.from_bytes(content[place : place + 2], "big")
        if end < place + 2 or end > len(content):
            raise NotAPicture
        behind = _behind(content, end) if marker == _SOS else end
        yield _Segment(marker, content[place + 2 : end], content[end:behind])
        place = behind


def _behind(content: bytes, place: int) -> int:
    for found in _MARKER.finditer(content, place):
        if found[1] is not None:
            return found.start()
    raise NotAPicture


def _whole(segments: Iterable[_Segment]) -> bytes:
    return b"\xff\xd8" + b"".join(segment.spelled() for segment in segments) + b"\xff\xd9"
