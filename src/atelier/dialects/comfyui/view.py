"""GET /view gives the caller's own files by the names that history and uploads said (wire contract 9).

The bytes are ours, so a file is there whatever became of its server. What a job made keeps its name and its bytes
for ever and may be kept for a day, privately (ComfyUI says public, but here an answer depends on its caller); what
was uploaded can be overwritten and is asked for anew, which mostly costs a 304.
"""

import mimetypes
import urllib.parse

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from atelier.assets.model import Asset
from atelier.assets.names import FileName, annotated, inner_path, parse_folder
from atelier.assets.rules import PATH_BYTES
from atelier.dialects import stored
from atelier.dialects.auth import Call
from atelier.dialects.comfyui import awaited, early
from atelier.dialects.comfyui.pixels import DEFAULT_QUALITY, Variant
from atelier.dialects.comfyui.routing import get
from atelier.kit.http.ranges import Slice, Unsatisfiable, Whole

_RUNS = frozenset({"text/html", "text/html-sandboxed", "text/javascript", "text/css", "text/xml"})
_MAY_RUN = ("javascript", "+xml", "/xml", "ecmascript")


async def view(request: Request, call: Call) -> Response:
    """The file, a part of it, a smaller copy of it (`preview`) or some of its channels (`channel`)."""
    query = request.query_params
    asked = _asked(query)
    if isinstance(asked, int):
        return Response(status_code=asked)
    shown = await early.fetch(call, asked)
    if shown is not None:
        return _shown_early(shown, asked.name)
    asset = await awaited.find(call, asked)
    if asset is None:
        return Response(status_code=404)
    variant = parse_variant(query)
    if variant is None:
        return await _file(request, call, asset, asked.name)
    return await _copy(request, call, asset, variant, asked.name)


def _asked(query: QueryParams) -> FileName | int:
    """What the query names, or the status that refuses it."""
    told = _first(query, "filename")
    if told is None:
        return 404
    filename, annotation = annotated(told)
    folder = annotation or parse_folder(_first(query, "type") or "output")
    if not filename or ".." in filename or folder is None:
        return 400
    if len(filename.encode()) > PATH_BYTES:
        return 404
    path, subfolder = inner_path(filename), inner_path(_first(query, "subfolder") or "")
    if path is None:
        return 400
    if subfolder is None:
        return 403
    return FileName(folder, subfolder, path.rpartition("/")[2])


def parse_variant(query: QueryParams) -> Variant | None:
    """None for the file as it is. Whatever needs an alpha channel is webp, and so is an unknown format."""
    channel = _first(query, "channel") or ""
    preview = _first(query, "preview")
    if preview is not None:
        kind, quality = preview.partition(";")[0], preview.rpartition(";")[2]
        jpeg = kind == "jpeg" and "a" not in channel
        return Variant("jpeg" if jpeg else "webp", "rgb" if channel == "rgb" else "", _quality(quality))
    match channel:
        case "rgb" | "a":
            return Variant("png", channel)
        case _:
            return None


def _quality(text: str) -> int:
    known = text.isascii() and text.isdigit() and len(text) <= 4
    return min(int(text), 100) if known else DEFAULT_QUALITY


async def _file(request: Request, call: Call, asset: Asset, name: str) -> Response:
    kind = _content_type(asset, name)
    headers = _headers(asset, name, kind)
    if stored.has_it(request, stored.etag_of(asset), asset.created_at):
        return Response(status_code=304, headers={**headers, "ETag": stored.etag_of(asset)})
    bodiless = request.method == "HEAD"
    match Whole() if bodiless else stored.part_of(request, asset):
        case Whole():
            return await stored.content(call.services, asset, None, headers, bodiless=bodiless)
        case Slice() as part:
            return await stored.content(call.services, asset, part, headers)
        case Unsatisfiable():
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{asset.size}"})


def _shown_early(content: bytes, name: str) -> Response:
    """What a run that goes on has shown: whole and as it is, for the eye; nobody keeps it."""
    kind = _kind(mimetypes.guess_type(name)[0] or "application/octet-stream")
    headers = {
        "Cache-Control": "private, no-store",
        "Content-Disposition": disposition(name, attached=kind == "application/octet-stream"),
        "Content-Type": kind,
    }
    return Response(content, headers={**stored.SAFE, **headers})


async def _copy(request: Request, call: Call, asset: Asset, variant: Variant, name: str) -> Response:
    etag = f'"{asset.hash.hex()}-{variant.tag}"'
    headers = {**_headers(asset, name, variant.content_type), "ETag": etag}
    if stored.has_it(request, etag, asset.created_at):
        return Response(status_code=304, headers=headers)
    made = await call.services.pictures.variant(call.services.storage, asset, variant)
    return Response(made, headers={**stored.SAFE, **headers})


def _headers(asset: Asset, name: str, content_type: str) -> dict[str, str]:
    lasting = asset.job_id is not None
    return {
        "Cache-Control": "private, max-age=86400" if lasting else "private, no-cache",
        "Content-Disposition": disposition(name, attached=content_type == "application/octet-stream"),
        "Content-Type": content_type,
        "Last-Modified": stored.http_date(asset.created_at),
        "Vary": "Authorization, Cookie, X-API-Key",
    }


def disposition(name: str, *, attached: bool) -> str:
    """`filename="x"` as ComfyUI writes it; a name that a header cannot carry is spelled as in RFC 6266 as well."""
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\' else "_" for char in name)
    spelled = f'filename="{plain}"'
    if plain != name:
        spelled += f"; filename*=UTF-8''{urllib.parse.quote(name, safe='')}"
    return f"attachment; {spelled}" if attached else spelled


def _content_type(asset: Asset, name: str) -> str:
    """By the name, as ComfyUI has it, else by the bytes; what a browser would run is only to be saved."""
    return _kind(mimetypes.guess_type(name)[0] or asset.content_type)


def _kind(kind: str) -> str:
    runs = kind.partition(";")[0] in _RUNS or any(sign in kind for sign in _MAY_RUN)
    return "application/octet-stream" if runs else kind


def _first(query: QueryParams, name: str) -> str | None:
    """The first where a name comes twice, as aiohttp has it."""
    return next(iter(query.getlist(name)), None)


ROUTES = (get("/view", view),)
