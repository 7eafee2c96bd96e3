"""The bytes of an asset from our own storage: whole, in part, or the news that the asker has them (RFC 9110)."""

import datetime as dt
import email.utils
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.dialects.services import Services
from atelier.kit.http.ranges import Slice, Unsatisfiable, Whole, parse_range
from atelier.kit.http.streamed import Streamed, copying
from atelier.storage.model import CHUNK_BYTES

SAFE = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
"""Whatever a file is, it runs nothing on our origin."""


def etag_of(asset: Asset) -> str:
    return f'"{asset.hash.hex()}"'


def http_date(moment: dt.datetime) -> str:
    return email.utils.format_datetime(moment.astimezone(dt.UTC), usegmt=True)


def has_it(request: Request, etag: str, modified: dt.datetime | None = None) -> bool:
    """Whether the asker says that it holds what has this tag, or nothing newer than `modified`.

    If-None-Match compares weakly, may name several, and goes before If-Modified-Since (sections 13.1.2, 13.1.3).
    """
    told = request.headers.get("if-none-match")
    if told is None:
        return modified is not None and _unchanged(request.headers.get("if-modified-since"), modified)
    return any(one.strip().removeprefix("W/") in {etag, "*"} for one in told.split(","))


def part_of(request: Request, asset: Asset) -> Slice | Whole | Unsatisfiable:
    """What the Range header asks for, unless If-Range says that it meant other bytes."""
    etag = etag_of(asset)
    if request.headers.get("if-range", etag) not in {etag, http_date(asset.created_at)}:
        return Whole()
    return parse_range(request.headers.get("range"), asset.size)


async def content(
    services: Services, asset: Asset, part: Slice | None, headers: Mapping[str, str], *, bodiless: bool = False
) -> Response:
    """200, or 206 for a part; `bodiless` for HEAD. Raises ContentMissing, StorageUnavailable."""
    size = part.stop - part.start if part else asset.size
    ranged = {"Content-Range": part.content_range(asset.size)} if part else {}
    told = {
        "Content-Length": str(size),
        "Accept-Ranges": "bytes",
        "ETag": etag_of(asset),
        **SAFE,
        **ranged,
        **headers,
    }
    status = 206 if part else 200
    if bodiless:
        return Response(b"", status, told)
    body = await assets.stream(services.storage, asset, part)
    if body.size <= CHUNK_BYTES:
        return Response(b"".join([chunk async for chunk in body.chunks]), status, told)
    return Streamed(copying(body.chunks), status, told)


def _unchanged(since: str | None, modified: dt.datetime) -> bool:
    try:
        told = email.utils.parsedate_to_datetime(since) if since else None
    except ValueError:
        return False
    if told is None or told.tzinfo is None:
        return False
    return int(modified.timestamp()) <= told.timestamp()
