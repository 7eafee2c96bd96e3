"""A GIF's blocks (GIF89a): comments and what applications hid can go while its frames stay the same bytes."""

from collections.abc import Iterator

from atelier.assets.pictures.reading import NotAPicture

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION = 0xFE, 0xFF
_SHOWN = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
"""How often it is repeated, and its colours."""


def stripped(content: bytes) -> bytes:
    """Only what is seen. Raises NotAPicture."""
    try:
        return b"".join(_kept(content)) + bytes((_TRAILER,))
    except IndexError as error:
        raise NotAPicture from error


def _kept(content: bytes) -> Iterator[bytes]:
    if content[:6] not in {b"GIF87a", b"GIF89a"}:
        raise NotAPicture
    place = 13 + _table(content[10])
    yield content[:place]
    while content[place] != _TRAILER:
        match content[place]:
            case kind if kind == _EXTENSION:
                end = _behind(content, place + 2)
                if _is_shown(content[place:end]):
                    yield content[place:end]
            case kind if kind == _IMAGE:
                end = _behind(content, place + 10 + _table(content[place + 9]) + 1)
                yield content[place:end]
            case _:
                raise NotAPicture
        place = end


def _is_shown(block: bytes) -> bool:
    match block[1]:
        case kind if kind == _COMMENT:
            return False
        case kind if kind == _APPLICATION:
            return block[3:14] in _SHOWN
        case _:
            return True


def _table(flags: int) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind(content: bytes, place: int) -> int:
    """Where a chain of sub-blocks ends."""
    while size := content[place]:
        place += 1 + size
    return place + 1
