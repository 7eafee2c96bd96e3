"""Short videos and sounds that say something of themselves, made here."""

import io
from typing import Any, cast

import av
from PIL import Image

SECRET = "a portrait of my neighbour"
SIZE = (64, 48)


def video(container: str = "mp4", codec: str = "h264", *, size: tuple[int, int] = SIZE, frames: int = 6) -> bytes:
    """Its first frame is red, the others go blue; its metadata has SECRET under `prompt` and `comment`."""
    into = io.BytesIO()
    tags = {"movflags": "use_metadata_tags"} if container in {"mp4", "mov"} else {}
    with cast("Any", av.open(into, "w", format=container, options=tags)) as target:
        target.metadata.update({"prompt": SECRET, "comment": SECRET})
        stream = target.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            picture = Image.new("RGB", size, (255, 0, 0) if number == 0 else (0, 0, 255))
            target.mux(stream.encode(cast("Any", av.VideoFrame).from_image(picture)))
        target.mux(stream.encode(None))
    return into.getvalue()


def sound(container: str = "flac", codec: str = "flac", rate: int = 48_000) -> bytes:
    """A tenth of a second; its metadata has SECRET under `prompt` and `title`."""
    into = io.BytesIO()
    with cast("Any", av.open(into, "w", format=container)) as target:
        target.metadata.update({"prompt": SECRET, "title": SECRET})
        stream = target.add_stream(codec, rate=rate, layout="mono")
        frame: Any = av.AudioFrame(format="s16", layout="mono", samples=rate // 10)
        frame.sample_rate, frame.pts = rate, 0
        frame.planes[0].update(b"\0\1" * (rate // 10))
        context = stream.codec_context
        context.open()
        resampler = cast("Any", av.AudioResampler)(
            format=context.format, layout="mono", rate=rate, frame_size=context.frame_size
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return into.getvalue()
