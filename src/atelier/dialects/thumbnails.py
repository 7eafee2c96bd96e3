"""Small pictures of an account's files: by its key, and by a link whose signature opens nothing else."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Forbidden
from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.assets.pictures.thumbnails import SIZES, USUAL_SIZE
from atelier.dialects import stored
from atelier.dialects.asked import InvalidQuery
from atelier.dialects.auth import Known
from atelier.dialects.files import STORAGE_LINK
from atelier.dialects.openapi import Responses, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.dialects.services import Services
from atelier.kit.ids import AssetId, parse_uuid

router = APIRouter(tags=["files"])

AssetIdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]

_WEBP = {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}
_ANSWERS: Responses = {
    200: {"description": "The thumbnail, never larger than the picture itself.", **_WEBP},
    302: {"description": "The storage serves it at Location for a while."},
    304: {"description": "The client has it: If-None-Match named its tag."},
}
_SIZE: dict[str, Any] = {
    "name": "size",
    "in": "query",
    "description": "Pixels of the longer side.",
    "schema": {"type": "integer", "enum": list(SIZES), "default": USUAL_SIZE},
}
_IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}
_SIGNED = [
    {"name": "expires", "in": "query", "required": True, "schema": {"type": "string"}},
    {"name": "signature", "in": "query", "required": True, "schema": {"type": "string"}},
]


@router.get(
    "/api/v1/assets/{asset_id}/thumbnail",
    response_class=Response,
    responses=_ANSWERS | refusals(ErrorEnvelope, 400, 404, 429),
    openapi_extra={"parameters": [_SIZE, _IF_NONE_MATCH]},
)
async def get_thumbnail(request: Request, asset_id: AssetIdText, call: Known) -> Response:
    """A small WebP of a picture or a video's first frame; 404 `no_thumbnail` for everything else."""
    size = _size(request)
    value = parse_uuid(asset_id)
    if value is None:
        raise assets.AssetNotFound("There is no such asset: its id is not a UUID in lower case.")
    async with call.services.database.autocommit() as tx:
        asset = await assets.get(tx, call.caller.account_id, AssetId(value))
    return await _served(call.services, asset, size, request)


@router.get(
    "/files/{asset_id}/thumbnail",
    response_class=Response,
    responses=_ANSWERS | refusals(ErrorEnvelope, 400, 403, 404, 429),
    openapi_extra={"parameters": [_SIZE, *_SIGNED, _IF_NONE_MATCH]},
)
async def get_linked_thumbnail(request: Request, asset_id: AssetIdText) -> Response:
    """The same by its signed link, which jobs and events give: the signature is the permission."""
    services: Services = request.app.state.services
    query, value = request.query_params, parse_uuid(asset_id)
    if value is None:
        raise Forbidden("This link is not valid.")
    services.links.check_thumbnail(AssetId(value), query.get("expires", ""), query.get("signature", ""))
    size = _size(request)
    async with services.database.autocommit() as tx:
        asset = await assets.linked(tx, AssetId(value))
    return await _served(services, asset, size, request)


def _size(request: Request) -> int:
    text = request.query_params.get("size", str(USUAL_SIZE))
    size = next((size for size in SIZES if str(size) == text), None)
    if size is None:
        raise InvalidQuery(f"size is one of {', '.join(map(str, SIZES))}.", details={"sizes": list(SIZES)})
    return size


async def _served(services: Services, asset: Asset, size: int, request: Request) -> Response:
    thumbnail = await services.thumbnails.of(services.database, services.storage, asset, size)
    address = await services.storage.public_url(thumbnail.blob.key, ttl=STORAGE_LINK)
    if address is not None:
        return Response(status_code=302, headers={"Location": address, "Cache-Control": "no-store"})
    headers = {
        **stored.SAFE,
        "Cache-Control": "private, max-age=86400",
        "Content-Disposition": "inline",
        "ETag": f'"{thumbnail.blob.hash.hex()}"',
        "Vary": "Authorization, Cookie, X-API-Key",
    }
    if stored.has_it(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    body = await services.thumbnails.content(services.database, services.storage, asset, size)
    return Response(body, headers=headers, media_type="image/webp")
