"""Files come and go as the native API moves them, with its names for equal and unequal content."""

import asyncio
import hashlib
import io
import itertools
import json
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from aiohttp import web
from PIL import Image, PngImagePlugin

from atelier.simulator.folders import KINDS, Folders, digest, is_file, split_annotation
from atelier.simulator.state import Simulator, simulator_of

_UNSAFE = frozenset({"text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css"})
DEFAULT_QUALITY = 90


async def view(request: web.Request) -> web.StreamResponse:
    """GET /view: the file itself, or a smaller copy (`preview`), or some of its channels (`channel`)."""
    simulator = simulator_of(request)
    if simulator.faults.use("view_missing") is not None:
        return web.Response(status=404)
    path = _viewed(simulator, request)
    if not is_file(path):
        return web.Response(status=404)
    headers = {"Content-Disposition": f'filename="{path.name}"'}
    channel = request.query.get("channel", "")
    if "preview" in request.query:
        body, kind = await asyncio.to_thread(_smaller, path, request.query["preview"], channel)
        return web.Response(body=body, content_type=kind, headers=headers)
    if channel in {"rgb", "a"}:
        body = await asyncio.to_thread(_channels, path, channel)
        return web.Response(body=body, content_type="image/png", headers=headers)
    return web.FileResponse(path, headers={**headers, "Content-Type": _content_type(path.name)})


def _viewed(simulator: Simulator, request: web.Request) -> Path:
    """The path that the query means. Raises 404 without a name, 400 for a bad one, 403 for an escape."""
    if "filename" not in request.query:
        raise web.HTTPNotFound(text="")
    filename, annotated = split_annotation(request.query["filename"])
    kind = annotated or request.query.get("type", "output")
    if not filename or filename.startswith("/") or ".." in filename or kind not in KINDS:
        raise web.HTTPBadRequest(text="")
    path = simulator.folders.inside(kind, request.query.get("subfolder", ""), Path(filename).name)
    if path is None:
        raise web.HTTPForbidden(text="")
    return path


def _content_type(name: str) -> str:
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return "application/octet-stream" if guessed in _UNSAFE else guessed


def _smaller(path: Path, wanted: str, channel: str) -> tuple[bytes, str]:
    """`webp` or `jpeg`, with `;quality`; anything else, and whatever needs alpha, is webp."""
    kind, _, quality = wanted.partition(";")
    if kind not in {"webp", "jpeg"} or "a" in channel:
        kind = "webp"
    encoded = io.BytesIO()
    with Image.open(path) as image:
        plain = image.convert("RGB") if kind == "jpeg" or channel == "rgb" else image
        plain.save(encoded, kind, quality=int(quality) if quality.isdigit() else DEFAULT_QUALITY)
    return encoded.getvalue(), f"image/{kind}"


def _channels(path: Path, channel: str) -> bytes:
    encoded = io.BytesIO()
    with Image.open(path) as image:
        if channel == "rgb":
            made = image.convert("RGB")
        else:
            alpha = image.getchannel("A") if "A" in image.getbands() else Image.new("L", image.size, 255)
            made = Image.new("RGBA", image.size)
            made.putalpha(alpha)
        made.save(encoded, "PNG")
    return encoded.getvalue()


@dataclass(frozen=True, slots=True)
class Upload:
    """One multipart upload, read and checked."""

    filename: str
    content: IO[bytes]
    kind: str
    subfolder: str
    overwrite: bool
    original_ref: str


async def upload_image(request: web.Request) -> web.Response:
    return await _store(request, _write_plain)


async def upload_mask(request: web.Request) -> web.Response:
    return await _store(request, _write_masked)


async def _store(request: web.Request, write: "Write") -> web.Response:
    upload = await _read(request)
    simulator = simulator_of(request)
    folders = simulator.folders
    if upload is None or folders.inside(upload.kind, upload.subfolder, upload.filename) is None:
        return web.Response(status=400)
    simulator.shop.write(folders.base(upload.kind) / upload.filename)
    name = await asyncio.to_thread(_place, folders, upload, write)
    return web.json_response({"name": name, "subfolder": upload.subfolder, "type": upload.kind})


async def _read(request: web.Request) -> Upload | None:
    """None without a file or its name. Raises where the real server does: a text as image, an unknown type."""
    form = await request.post()
    image = form.get("image")
    if image is None:
        return None
    if not isinstance(image, web.FileField):
        raise TypeError
    if not image.filename:
        return None
    kind = str(form.get("type", "input"))
    if kind not in KINDS:
        raise KeyError(kind)
    return Upload(
        filename=image.filename,
        content=image.file,
        kind=kind,
        subfolder=str(form.get("subfolder", "")),
        overwrite=form.get("overwrite") in {"true", "1"},
        original_ref=str(form.get("original_ref", "")),
    )


def _place(folders: Folders, upload: Upload, write: "Write") -> str:
    """Write the upload under the first name that is free or has the same content; the name."""
    folder = folders.base(upload.kind) / upload.subfolder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / upload.filename
    for number in itertools.count(1):
        if upload.overwrite or not path.exists():
            write(folders, path, upload)
            break
        if _same_content(path, upload):
            break
        wanted = Path(upload.filename)
        path = folder / f"{wanted.stem} ({number}){wanted.suffix}"
    return str(path.relative_to(folder))


def _same_content(path: Path, upload: Upload) -> bool:
    upload.content.seek(0)
    return hashlib.sha256(upload.content.read()).hexdigest() == digest(path)


def _write_plain(_folders: Folders, path: Path, upload: Upload) -> None:
    upload.content.seek(0)
    path.write_bytes(upload.content.read())


def _write_masked(folders: Folders, path: Path, upload: Upload) -> None:
    """The alpha of the upload replaces the alpha of `original_ref`; without that file nothing is written."""
    original: dict[str, str] = json.loads(upload.original_ref)
    name, annotated = split_annotation(original["filename"])
    source = folders.inside(annotated or original.get("type", "output"), original.get("subfolder", ""), name)
    if source is None or not source.is_file():
        return
    info = PngImagePlugin.PngInfo()
    with Image.open(source) as opened, Image.open(upload.content) as mask:
        for key, text in getattr(opened, "text", {}).items():
            info.add_text(key, text)
        merged = opened.convert("RGBA")
        merged.putalpha(mask.convert("RGBA").getchannel("A"))
    merged.save(path, "PNG", compress_level=4, pnginfo=info)


Write: TypeAlias = Callable[[Folders, Path, Upload], None]

ROUTES = [
    web.get("/view", view),
    web.post("/upload/image", upload_image),
    web.post("/upload/mask", upload_mask),
]
