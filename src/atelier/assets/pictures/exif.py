"""EXIF (TIFF tags) as the programs of this field write and read it, big-endian, so that every reader agrees.

UserComment is UTF-16 behind UNICODE and eight bytes in all, as the web UI of AUTOMATIC1111 and Civitai read it;
Make and Model hold `workflow:{…}` and `prompt:{…}`, as ComfyUI writes them into WebP and its editor finds them.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from PIL import Image

from atelier.assets.pictures import words

DESCRIPTION, MAKE, MODEL, ORIENTATION, SOFTWARE, DATE_TIME = 0x010E, 0x010F, 0x0110, 0x0112, 0x0131, 0x0132
EXIF_IFD, DATE_TIME_ORIGINAL, OFFSET, OFFSET_ORIGINAL = 0x8769, 0x9003, 0x9010, 0x9011
USER_COMMENT = 0x9286
_UNICODE = b"UNICODE\0"
_HEAD = b"Exif\0\0"
_TAG_OF = {"prompt": MODEL, "workflow": MAKE}
UPRIGHT = 1


def kept(before: bytes, said: Mapping[str, Any], texts: Mapping[str, str], made_at: dt.datetime) -> bytes:
    """All that was in `before`, what a node wrote into text chunks, and what is said; its words win over ours."""
    tags = read(before)
    inner = tags.get_ifd(EXIF_IFD)
    comment = texts.get("parameters") or words.parameters(said)
    moment = made_at.astimezone(dt.UTC).strftime("%Y:%m:%d %H:%M:%S").encode()
    ours: dict[int, bytes] = {SOFTWARE: words.SOFTWARE.encode(), DATE_TIME: moment}
    if described := words.prompt(said):
        ours[DESCRIPTION] = described.encode(errors="replace")
    for keyword, tag in _TAG_OF.items():
        if keyword in texts:
            ours[tag] = f"{keyword}:{texts[keyword]}".encode(errors="replace")
    _add(tags, ours)
    dates = {DATE_TIME_ORIGINAL: moment.decode(), OFFSET: "+00:00", OFFSET_ORIGINAL: "+00:00"}
    for tag, value in (dates | _comment(comment)).items():
        inner.setdefault(tag, value)
    return _bytes(tags)


def anonymous(before: bytes, said: Mapping[str, Any]) -> bytes:
    """What is said, and which way is up."""
    tags = _upright(before)
    tags[SOFTWARE] = words.SOFTWARE
    tags.get_ifd(EXIF_IFD).update(_comment(words.parameters(said)))
    return _bytes(tags)


def bare(before: bytes) -> bytes:
    """Nothing but which way is up, where that is not the usual way: without it a picture would lie on its side."""
    tags = _upright(before)
    return _bytes(tags) if len(tags) else b""


def without_orientation(before: bytes) -> bytes:
    """For a picture whose pixels were turned."""
    tags = read(before)
    if ORIENTATION not in tags:
        return before
    del tags[ORIENTATION]
    return _bytes(tags)


def read(content: bytes) -> Image.Exif:
    """Tags that can be read; none of what is damaged."""
    tags = Image.Exif()
    try:
        tags.load(content)
        tags.get_ifd(EXIF_IFD)
    except (SyntaxError, ValueError, TypeError, LookupError, OSError):
        tags = Image.Exif()
    return tags


def texts_in(content: bytes) -> dict[str, str]:
    """`prompt` and `workflow` where ComfyUI writes them into pictures without text chunks."""
    found: dict[str, str] = {}
    for value in read(content).values():
        if isinstance(value, str):
            keyword, colon, text = value.rstrip("\0").partition(":")
            if colon and keyword in _TAG_OF:
                found[keyword] = text
    return found


def comment_in(content: bytes) -> str:
    """UserComment as text; empty where there is none that can be read."""
    value = read(content).get_ifd(EXIF_IFD).get(USER_COMMENT)
    if not isinstance(value, bytes):
        return ""
    code, text = value[:8], value[8:]
    return text.decode("utf-16-be" if code == _UNICODE else "utf-8", errors="replace").strip("\0 ")


def _comment(text: str) -> dict[int, bytes]:
    return {USER_COMMENT: _UNICODE + text.encode("utf-16-be", errors="replace")} if text else {}


def _add(tags: Image.Exif, ours: Mapping[int, bytes]) -> None:
    for tag, value in ours.items():
        if tag not in tags:
            tags[tag] = value


def _upright(before: bytes) -> Image.Exif:
    orientation = read(before).get(ORIENTATION, UPRIGHT)
    tags = Image.Exif()
    if orientation in range(2, 9):
        tags[ORIENTATION] = orientation
    return tags


def _bytes(tags: Image.Exif) -> bytes:
    tags.endian = ">"
    return tags.tobytes().removeprefix(_HEAD)
