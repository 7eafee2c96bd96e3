"""Video nodes make real files that play, with the frames, the rate and the length that were asked for."""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from atelier.simulator.drawing import Recipe, draw
from atelier.simulator.folders import DRIVING, Saves
from atelier.simulator.moving import moved
from atelier.simulator.nodes.call import Call, Made, Node, Pictures
from atelier.simulator.nodes.images import png_info
from atelier.simulator.nodes.models import resident
from atelier.simulator.nodes.rendering import whole_cells
from atelier.simulator.nodes.values import PIXELS, Latent, Model
from atelier.simulator.pictures import Picture, resized

if TYPE_CHECKING:
    from atelier.simulator.films import Film

_DRIVING_SIZE = (512, 512)
_DRIVING_RATE = 25.0
_DRIVING_FRAMES = 500
_MOST_FRAMES = 3000
_ENDINGS = {"h264-mp4": "mp4", "webm": "webm"}


def empty_film(call: Call) -> Made:
    size = (call.int("width") // PIXELS * PIXELS, call.int("height") // PIXELS * PIXELS)
    return Made((Latent(size, call.int("batch_size"), frames=_frames(call)),))


def film_from_picture(call: Call) -> Made:
    """With a start image the film begins as that picture."""
    resident(call, call.get("vae", Model))
    [latent] = empty_film(call).outputs
    start: Pictures = call.inputs.get("start_image") or ()
    base = tuple(whole_cells(picture) for picture in start[:1])
    return Made((replace(latent, base=base),))


def create_video(call: Call) -> Made:
    return Made((_film(call.pictures("images"), call.float("fps")),))


def save_video(call: Call) -> Made:
    """MP4 with H.264, and the graph in its metadata, as ComfyUI writes it."""
    return _saved(call, call.inputs["video"], "mp4")


def save_webm(call: Call) -> Made:
    return _saved(call, _film(call.pictures("images"), call.float("fps")), "webm")


def load_video(call: Call) -> Made:
    return Made((_loaded(call, call.text("file")),))


def video_parts(call: Call) -> Made:
    """Frames, no sound, frames of a second."""
    film: Film = call.inputs["video"]
    return Made((tuple(map(Picture, film.frames)), None, film.rate))


def combine(call: Call) -> Made:
    """VHS: one file of all images, and beside it its first frame as a PNG that carries the graph."""
    kind, _, name = call.text("format").partition("/")
    film, keep = _film(_pingpong(call), call.float("frame_rate")), call.get("save_output", bool)
    folders, prefix = call.shop.folders, call.text("filename_prefix")
    saves = folders.next_save("output" if keep else "temp", prefix, film.size, tail="")
    still, first = saves.place(0)
    path, stored = saves.place(0, name if kind == "image" else _ENDINGS[name])
    call.shop.write(still)
    film.frames[0].save(still, "PNG", pnginfo=png_info(call), compress_level=4)
    _write(call, path, film)
    told = {"format": call.text("format"), "frame_rate": film.rate, "workflow": first.filename}
    about = {**stored.as_json(), **told, "fullpath": str(path)}
    return Made(((keep, [str(still), str(path)]),), ui={"gifs": [about]})


def load_frames(call: Call) -> Made:
    """VHS: the frames of a video at another rate and size, how many there are, no sound, and what it was."""
    source = _loaded(call, call.text("video"))
    rate = call.float("force_rate") or source.rate
    chosen = tuple(_resampled(source, rate, call.int("skip_first_frames"), call.int("select_every_nth")))
    frames = chosen[: call.int("frame_load_cap") or _MOST_FRAMES]
    if not frames:
        msg = f"No frames generated: {call.text('video')}"
        raise RuntimeError(msg)
    pictures = _of_size(frames, call.int("custom_width"), call.int("custom_height"))
    loaded = _film(pictures, rate / call.int("select_every_nth"))
    return Made((pictures, len(pictures), None, (source, loaded)))


def load_folder(call: Call) -> Made:
    """VHS: every picture of a folder below the input folder, their masks, and how many there are."""
    folder = call.shop.folders.inside("input", call.text("directory"))
    paths = sorted(folder.iterdir())[call.inputs.get("skip_first_images", 0) :] if folder else []
    chosen = paths[:: call.inputs.get("select_every_nth", 1)][: call.inputs.get("image_load_cap", 0) or None]
    images = [Image.open(path).convert("RGB") for path in chosen if path.is_file()]
    if not images:
        msg = f"No files in directory '{call.text('directory')}'."
        raise FileNotFoundError(msg)
    pictures = tuple(Picture(resized(image, images[0].size)) for image in images)
    masks = tuple(Picture(Image.new("L", picture.size, 0)) for picture in pictures)
    return Made((pictures, masks, len(pictures)))


def video_info(call: Call) -> Made:
    source, loaded = cast("tuple[Film, Film]", call.get("video_info", tuple))
    return Made((*_facts(source), *_facts(loaded)))


def _frames(call: Call) -> int:
    return max(1, min(call.int("length"), _MOST_FRAMES))


def _film(pictures: Pictures, rate: float) -> "Film":
    from atelier.simulator.films import Film

    images = {id(picture.image): picture.saved() for picture in pictures}
    return Film(tuple(images[id(picture.image)] for picture in pictures), float(rate))


def _saved(call: Call, film: "Film", ending: str) -> Made:
    """One file beside the pictures of the same prefix, and the word `animated`."""
    saves: Saves = call.shop.folders.next_save("output", call.text("filename_prefix"), film.size)
    path, stored = saves.place(0, ending)
    _write(call, path, film)
    return Made(ui={"images": [stored.as_json()], "animated": [True]})


def _write(call: Call, path: Path, film: "Film") -> None:
    from atelier.simulator import films

    call.shop.write(path)
    if path.suffix.lstrip(".") in films.CODECS:
        films.write(path, film, _about(call), tick=lambda: call.shop.sleep(0.0))
        return
    first, *others = film.frames
    first.save(path, save_all=True, append_images=others, duration=round(1000.0 / film.rate), loop=0)


def _about(call: Call) -> dict[str, str]:
    """The graph as `prompt`, and each key of extra_pnginfo."""
    told = {"prompt": json.dumps(call.graph)}
    return told | {key: json.dumps(value) for key, value in call.extra_pnginfo.items()}


def _pingpong(call: Call) -> Pictures:
    pictures = call.pictures("images")
    return pictures + pictures[-2:0:-1] if call.get("pingpong", bool) else pictures


def _loaded(call: Call, name: str) -> "Film":
    from atelier.simulator import films

    path = call.shop.folders.annotated(name)
    if path is not None and path.is_file():
        return films.read(path)
    if name == DRIVING:
        return _driving()
    msg = f"Invalid video file: {name}"
    raise ValueError(msg)


def _driving() -> "Film":
    from atelier.simulator.films import Film

    still = draw(Recipe("a face that moves", seed=uuid.NAMESPACE_DNS.int % 2**32), _DRIVING_SIZE)
    return Film(tuple(moved(still, _DRIVING_FRAMES)), _DRIVING_RATE)


def _resampled(film: "Film", rate: float, skip: int, every: int) -> Iterator[Image.Image]:
    """The frames that are shown at each tick of the new rate."""
    count = int(film.seconds * rate)
    for place in range(skip, count, every):
        yield film.frames[min(int(place * film.rate / rate), len(film.frames) - 1)]


def _of_size(frames: tuple[Image.Image, ...], width: int, height: int) -> Pictures:
    """One side alone keeps the proportions; sides become multiples of eight, as VHS makes them."""
    old = frames[0].size
    wanted = (width or round(old[0] * height / old[1]), height or round(old[1] * width / old[0]))
    size = (max(8, wanted[0] // 8 * 8), max(8, wanted[1] // 8 * 8)) if width or height else old
    made = {id(frame): Picture(frame if size == old else resized(frame, size)) for frame in frames}
    return tuple(made[id(frame)] for frame in frames)


def _facts(film: "Film") -> tuple[Any, ...]:
    return film.rate, len(film.frames), film.seconds, *film.size


VIDEO_NODES: Mapping[str, Node] = {
    "CreateVideo": create_video,
    "SaveVideo": save_video,
    "SaveWEBM": save_webm,
    "LoadVideo": load_video,
    "GetVideoComponents": video_parts,
}

FILM_NODES: Mapping[str, Node] = {
    "EmptyHunyuanLatentVideo": empty_film,
    "EmptyLTXVLatentVideo": empty_film,
    "Wan22ImageToVideoLatent": film_from_picture,
}

VIDEO_HELPER_NODES: Mapping[str, Node] = {
    "VHS_VideoCombine": combine,
    "VHS_LoadVideo": load_frames,
    "VHS_LoadImages": load_folder,
    "VHS_VideoInfo": video_info,
}
