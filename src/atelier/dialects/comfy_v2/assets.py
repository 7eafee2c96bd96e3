"""The asset operations of Comfy API v2: files come in once, are known by their hash, and go out in parts."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from atelier.assets import recording, rules
from atelier.assets import service as assets
from atelier.assets.model import Draft, Recorded
from atelier.assets.multipart import Upload, read_upload
from atelier.dialects import files
from atelier.dialects.auth import Call, Known
from atelier.dialects.comfy_v2 import parameters, schemas
from atelier.dialects.comfy_v2.submission import InvalidRequest, check_closed
from atelier.dialects.comfy_v2.wire import PREFIX, Speller
from atelier.dialects.openapi import FILE_ANSWERS, FILE_HEADERS, answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.kit import clock
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response
from atelier.kit.ids import AssetId, parse_uuid

FORM_BYTES = 300_000
"""What the fields and boundaries of an upload may take besides the file."""
MOST_SECONDS = 10 * 365 * 86_400

router = APIRouter(prefix=PREFIX, tags=["assets"])

AssetIdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]
_RECORDED = answer(200, schemas.Asset) | answer(201, schemas.Asset)
_FROM_HASH = frozenset({"hash", "file_path", "tags", "expires_in"})


@router.post(
    "/assets",
    status_code=201,
    responses=_RECORDED | refusals(ErrorEnvelope, 400, 409, 413, 422),
    openapi_extra=parameters.UPLOAD,
)
async def upload_asset(request: Request, call: Known) -> Response:
    """Store a file: 201 when this account had no such record, 200 when it had."""
    services = call.services
    body = bodies.limited(request, services.upload_limit + FORM_BYTES)
    upload = await read_upload(request.headers.get("content-type"), body)
    expected = None if upload.expected_hash is None else rules.require_hash(upload.expected_hash)
    draft = Draft(
        account_id=call.caller.account_id,
        content_type=rules.parse_content_type(upload.content_type) if upload.content_type else None,
        file_path=_path(upload),
        tags=rules.parse_tags(upload.tags),
    )
    received = await assets.receive(
        services.database,
        services.storage,
        upload.chunks,
        limit_bytes=services.upload_limit,
        expected_hash=expected,
    )
    recorded = await recording.recorded(
        services.database, services.storage, received, lambda tx, came: assets.record(tx, came, draft)
    )
    return _recorded(call, recorded)


@router.post(
    "/assets/from-hash",
    status_code=201,
    responses=_RECORDED | refusals(ErrorEnvelope, 400, 404, 413, 422),
    openapi_extra=json_body(schemas.FromHash),
)
async def asset_from_hash(request: Request, call: Known) -> Response:
    """A record of bytes that this account has sent or made before."""
    body = await bodies.read_object(request, call.services.json_limit)
    check_closed("The body", body, _FROM_HASH)
    digest = rules.require_hash(_text(body, "hash") or "")
    draft = Draft(
        account_id=call.caller.account_id,
        file_path=rules.parse_file_path(_text(body, "file_path") or ""),
        tags=_tags(body.get("tags")),
        expires_at=_expiry(body.get("expires_in")),
    )
    async with call.services.database.transaction() as tx:
        recorded = await assets.from_hash(tx, digest, draft)
    return _recorded(call, recorded)


@router.head("/assets/by-hash/{digest}", response_class=Response, responses=parameters.BY_HASH)
async def known_by_hash(digest: str, call: Known) -> Response:
    """200 when from-hash will work within the next hour, else 404; both without a body."""
    value = rules.parse_hash(digest)
    if value is None:
        return Response(status_code=404)
    async with call.services.database.transaction() as tx:
        known = await assets.known(tx, call.caller.account_id, value)
    return Response(status_code=200 if known else 404)


@router.get("/assets/{asset_id}", responses=answer(200, schemas.Asset) | refusals(ErrorEnvelope, 404))
async def get_asset(asset_id: AssetIdText, call: Known) -> Response:
    """What is known of a file, with a fresh link to it."""
    async with call.services.database.autocommit() as tx:
        asset = await assets.get(tx, call.caller.account_id, _id(asset_id))
    return json_response(_speller(call).asset(asset))


@router.delete(
    "/assets/{asset_id}",
    status_code=204,
    response_class=Response,
    responses=refusals(ErrorEnvelope, 404, 409),
)
async def delete_asset(asset_id: AssetIdText, call: Known) -> Response:
    """Delete the record. A job that has not ended keeps its inputs."""
    async with call.services.database.transaction() as tx:
        await assets.delete(tx, call.caller.account_id, _id(asset_id))
    return Response(status_code=204)


@router.get(
    "/assets/{asset_id}/content",
    response_class=Response,
    responses=FILE_ANSWERS | refusals(ErrorEnvelope, 404, 416),
    openapi_extra={"parameters": FILE_HEADERS},
)
async def get_content(request: Request, asset_id: AssetIdText, call: Known) -> Response:
    """The bytes, or 302 to where the storage serves them."""
    async with call.services.database.autocommit() as tx:
        asset = await assets.get(tx, call.caller.account_id, _id(asset_id))
    return await files.serve(call.services, asset, request)


def _speller(call: Call) -> Speller:
    return Speller(call.base, call.services.links)


def _recorded(call: Call, recorded: Recorded) -> Response:
    body = _speller(call).asset(recorded.asset, created_new=recorded.created_new)
    return json_response(body, 201 if recorded.created_new else 200)


def _id(text: str) -> AssetId:
    """Raises AssetNotFound for what cannot be an id of ours."""
    value = parse_uuid(text)
    if value is None:
        raise assets.AssetNotFound("There is no such asset: its id is not a UUID in lower case.")
    return AssetId(value)


def _path(upload: Upload) -> str:
    """The path that the form names; a file's own name is taken where it can be one, and else forgotten."""
    if upload.file_path is not None:
        return rules.parse_file_path(upload.file_path)
    try:
        return rules.parse_file_path(upload.filename or "")
    except rules.InvalidAsset:
        return ""


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string.")
    return value


def _tags(value: object) -> tuple[str, ...]:
    tags = [] if value is None else bodies.as_strings(value)
    if tags is None:
        raise InvalidRequest("tags must be a list of strings.")
    return rules.parse_tags(tags)


def _expiry(seconds: object) -> dt.datetime | None:
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MOST_SECONDS:
        raise InvalidRequest(f"expires_in must be whole seconds from 1 to {MOST_SECONDS}.")
    return clock.utcnow() + dt.timedelta(seconds=seconds)
