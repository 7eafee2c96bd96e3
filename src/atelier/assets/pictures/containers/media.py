"""Videos and sounds are copied packet by packet into a container that says nothing: no frame is encoded again.

The reader is the one that the file's first bytes call for, never one that FFmpeg guesses: some of those follow
addresses that stand in a file.
"""

import contextlib
import io
from collections import Counter
from collections.abc import Generator
from typing import Any, cast

import av
import av.container
import av.error

from atelier.assets.pictures.reading import Encoded

READERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "audio/mp4": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
}
_WRITERS = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "audio/mp4": "mp4",
    "video/webm": "webm",
    "video/x-matroska": "matroska",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
}
_COPIED = frozenset({"video", "audio", "subtitle"})

_Sizes = Counter[tuple[int, str]]

TROUBLE = (av.error.FFmpegError, ValueError, OSError, LookupError, ArithmeticError, TypeError)
"""What PyAV raises for files that are not what they seem."""


class NotSafe(Exception):  # noqa: N818 - who asked decides what that means
    """The file would not come out with the same packets."""


def stripped(content: Encoded, content_type: str) -> bytes:
    """The same packets without titles, comments, tags and covers. Raises NotSafe."""
    if content_type not in READERS:
        raise NotSafe("nothing here takes files of this kind apart")
    try:
        made, copied = _copied(content, content_type)
        with reading(made, content_type) as again:
            same = _packets(again) == copied
    except TROUBLE as error:
        raise NotSafe(str(error)[:200]) from error
    if not same:
        raise NotSafe("a copy of it has other packets")
    return made


@contextlib.contextmanager
def reading(content: Encoded, content_type: str) -> Generator[av.container.InputContainer]:
    """The opened file. Raises what TROUBLE lists, and KeyError for a type that READERS does not have."""
    reader = READERS[content_type]
    with (
        io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source,
        av.open(source, "r", format=reader, metadata_errors="ignore") as container,
    ):
        yield container


def _copied(content: Encoded, content_type: str) -> tuple[bytes, _Sizes]:
    into, sizes = io.BytesIO(), _Sizes()
    writer = av.open(into, "w", format=_WRITERS[content_type], options={"fflags": "+bitexact"})
    with reading(content, content_type) as source, cast("Any", writer) as target:
        kept = [one for one in source.streams if one.type in _COPIED and not _is_cover(one)]
        streams = {one.index: target.add_stream_from_template(one) for one in kept}
        for stream in streams.values():
            stream.metadata.clear()
        for packet in source.demux(kept):
            if packet.size:
                packet.stream = streams[packet.stream.index]
                _count(sizes, packet)
                target.mux(packet)
    return into.getvalue(), sizes


def _packets(container: av.container.InputContainer) -> _Sizes:
    sizes = _Sizes()
    for packet in container.demux():
        if packet.size:
            _count(sizes, packet)
    return sizes


def _count(sizes: _Sizes, packet: Any) -> None:
    sizes[packet.stream.index, "bytes"] += packet.size
    sizes[packet.stream.index, "packets"] += 1


def _is_cover(stream: Any) -> bool:
    """A picture that hangs on a sound."""
    return bool(stream.disposition & stream.disposition.attached_pic)
