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
from atelier.dialects import stored
from atelier.dialects.openapi import FILE_ANSWERS, FILE_HEADERS, refusals
from atelier.dialects.problems import ErrorEnvelope, envelope
from atelier.dialects.services import Services
from atelier.kit.http.problems import Problem
from atelier.kit.http.ranges import Slice, Unsatisfiable, Whole
from atelier.kit.ids import AssetId, parse_uuid

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
    etag = stored.etag_of(asset)
    if stored.has_it(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    match stored.part_of(request, asset):
        case Whole():
            return await stored.content(services, asset, None, _headers(asset))
        case Slice() as part:
            return await stored.content(services, asset, part, _headers(asset))
        case Unsatisfiable():
            return _behind_the_end(asset)


def _headers(asset: Asset) -> dict[str, str]:
    return {
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": rules.disposition(asset),
        "Content-Type": asset.content_type,
    }


def _behind_the_end(asset: Asset) -> Response:
    headers = {"Content-Range": f"bytes */{asset.size}"}
    return envelope(Problem(416, "range_not_satisfiable", f"The file has {asset.size} bytes.", None, headers))
