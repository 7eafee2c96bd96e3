"""The bytes of an asset: whole, in part, or an address where the storage serves them."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Forbidden
from atelier.assets import rules
from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.dialects.openapi import FILE_ANSWERS, FILE_HEADERS, refusals
from atelier.dialects.problems import ErrorEnvelope, envelope
from atelier.dialects.services import Services
from atelier.kit.http.problems import Problem
from atelier.kit.http.ranges import Slice, Unsatisfiable, Whole, parse_range
from atelier.kit.http.streamed import Streamed, copying
from atelier.kit.ids import AssetId, parse_uuid
from atelier.storage.model import CHUNK_BYTES

STORAGE_LINK = dt.timedelta(hours=1)

router = APIRouter(tags=["files"])

_QUERY = {
    "parameters": [
        {"name": "expires", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "signature", "in": "query", "required": True, "schema": {"type": "string"}},
        *FILE_HEADERS,
    ]
}


@router.get(
    "/files/{asset_id}",
    response_class=Response,
    responses=FILE_ANSWERS | refusals(ErrorEnvelope, 403, 404, 416),
    openapi_extra=_QUERY,
)
async def get_file(
    request: Request, asset_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})]
) -> Response:
    """A file by its signed link: the signature is the permission, whoever asks."""
    services: Services = request.app.state.services
    value = parse_uuid(asset_id)
    if value is None:
        raise Forbidden("This link is not valid.")
    query = request.query_params
    services.links.check(AssetId(value), query.get("expires", ""), query.get("signature", ""))
    async with services.database.autocommit() as tx:
        asset = await assets.linked(tx, AssetId(value))
    return await serve(services, asset, request)


async def serve(services: Services, asset: Asset, request: Request) -> Response:
    """200, 206, 304, 416, or 302 to where the storage serves it. Raises ContentMissing, StorageUnavailable."""
    address = await assets.address(services.storage, asset, ttl=STORAGE_LINK)
    if address is not None:
        return Response(status_code=302, headers={"Location": address, "Cache-Control": "no-store"})
    etag = f'"{asset.hash.hex()}"'
    if _has_it(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    match parse_range(_range(request, etag), asset.size):
        case Whole():
            return await _bytes(services, asset, None)
        case Slice() as part:
            return await _bytes(services, asset, part)
        case Unsatisfiable():
            return _behind_the_end(asset)


def _has_it(request: Request, etag: str) -> bool:
    """If-None-Match compares weakly, and may name several (RFC 9110, section 13.1.2)."""
    named = request.headers.get("if-none-match", "").split(",")
    return any(one.strip().removeprefix("W/") in {etag, "*"} for one in named)


def _range(request: Request, etag: str) -> str | None:
    """The Range header, unless If-Range says that it meant other bytes."""
    if request.headers.get("if-range", etag) != etag:
        return None
    return request.headers.get("range")


async def _bytes(services: Services, asset: Asset, part: Slice | None) -> Response:
    body = await assets.stream(services.storage, asset, part)
    headers = {
        "Content-Length": str(body.size),
        "Accept-Ranges": "bytes",
        "ETag": f'"{asset.hash.hex()}"',
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": rules.disposition(asset),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Content-Type": asset.content_type,
    }
    if part is not None:
        headers["Content-Range"] = part.content_range(asset.size)
    status = 206 if part else 200
    if body.size <= CHUNK_BYTES:
        return Response(b"".join([chunk async for chunk in body.chunks]), status, headers)
    return Streamed(copying(body.chunks), status, headers)


def _behind_the_end(asset: Asset) -> Response:
    headers = {"Content-Range": f"bytes */{asset.size}"}
    return envelope(Problem(416, "range_not_satisfiable", f"The file has {asset.size} bytes.", None, headers))
