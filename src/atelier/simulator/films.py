"""Frames become a file that plays, and a file that plays becomes frames: real H.264 and VP9, by PyAV."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from PIL import Image

CODECS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "mp4": ("libx264", {"preset": "ultrafast", "crf": "26"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "36", "b": "0"}),
}
"""By the ending of the file: quick rather than small."""

KEPT = 64
"""Different frames that are kept of a film that is read; those behind them repeat the first."""

_CLOCK = 90_000
"""Ticks of a second in which rates such as 23.976 are told."""

_THREADS = 2

_TAGS = {"mp4": {"movflags": "use_metadata_tags"}}
"""What lets a container bear names of our own, such as `prompt`; others do by themselves."""


@dataclass(frozen=True, slots=True)
class Film:
    """Frames of one size and how many of them a second has."""

    frames: tuple[Image.Image, ...]
    rate: float

    @property
    def size(self) -> tuple[int, int]:
        return self.frames[0].size

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.rate


def write(path: Path, film: Film, about: Mapping[str, str], *, tick: Callable[[], None]) -> None:
    """Write the film; odd sides lose their last pixel, as H.264 in 4:2:0 asks. `about` becomes its metadata.

    `tick` is called before each frame and may raise to stop. Equal frames are converted once.
    """
    kind = path.suffix.lstrip(".")
    name, options = CODECS[kind]
    size = (film.size[0] - film.size[0] % 2, film.size[1] - film.size[1] % 2)
    places = {id(frame): frame for frame in film.frames}

    @functools.lru_cache(maxsize=KEPT)
    def converted(place: int) -> av.VideoFrame:
        cut = places[place].convert("RGB").crop((0, 0, *size))
        frames: Any = av.VideoFrame
        frame: av.VideoFrame = frames.from_image(cut)
        return frame.reformat(format="yuv420p")

    with av.open(str(path), "w", options=_TAGS.get(kind, {})) as container:
        container.metadata.update(about)
        untyped: Any = container
        rate = Fraction(film.rate).limit_denominator(_CLOCK)
        stream = untyped.add_stream(name, rate, options=dict(options))
        stream.width, stream.height = size
        stream.pix_fmt, stream.thread_count = "yuv420p", _THREADS
        for number, frame in enumerate(film.frames):
            tick()
            picture = converted(id(frame))
            picture.pts = number
            untyped.mux(stream.encode(picture))
        untyped.mux(stream.encode(None))


def read(path: Path, most: int = 0, *, skip: int = 0, every: int = 1) -> Film:
    """The first `most` frames (0: all) behind `skip`, each `every`-th. Raises ValueError for what is no film."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            frames = tuple(_images(_chosen(container.decode(stream), most, skip, every)))
    except (FFmpegError, IndexError) as error:
        msg = f"{path.name} could not be loaded with cv."
        raise ValueError(msg) from error
    if not frames:
        msg = f"No frames generated: {path.name}"
        raise ValueError(msg)
    return Film(frames, rate / every)


def _chosen(frames: Iterable[av.VideoFrame], most: int, skip: int, every: int) -> Iterator[av.VideoFrame]:
    taken = 0
    for number, frame in enumerate(frames):
        if number < skip or (number - skip) % every:
            continue
        if most and taken >= most:
            return
        taken += 1
        yield frame


def _image(frame: av.VideoFrame) -> Image.Image:
    untyped: Any = frame
    image: Image.Image = untyped.to_image()
    return image


def _images(frames: Iterable[av.VideoFrame]) -> Iterator[Image.Image]:
    kept: list[Image.Image] = []
    for number, frame in enumerate(frames):
        if number < KEPT:
            kept.append(_image(frame))
        yield kept[number % KEPT]
