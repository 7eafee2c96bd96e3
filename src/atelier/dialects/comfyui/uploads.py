"""Uploads get the names that ComfyUI would give them, per account, once for the whole fleet (wire contract 9)."""

import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from atelier.assets import naming, recording
from atelier.assets import service as assets
from atelier.assets.model import Asset, Received
from atelier.assets.names import FileName, Folder, annotated, file_name, inner_path, parse_folder, parse_new
from atelier.assets.parts import MalformedUpload
from atelier.assets.pictures.fetching import fetched
from atelier.assets.spool import Spooled, spooled
from atelier.dialects.auth import Call
from atelier.dialects.comfyui import awaited
from atelier.dialects.comfyui.forms import Form, read_form
from atelier.dialects.comfyui.routing import post
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response

FORM_BYTES = 1024 * 1024
"""Beside the file: fields, headers of parts, boundaries."""


async def upload_image(request: Request, call: Call) -> Response:
    """Keep a file in the caller's input, temp or output folder; 400 without one, or with a name that leads out."""
    services = call.services

    async def take(chunks: AsyncIterator[bytes]) -> Received:
        return await assets.receive(services.database, services.storage, chunks, limit_bytes=services.upload_limit)

    form = await read_form(request.headers.get("content-type"), _body(request, call), take)
    wanted = _wanted(form) if form else None
    if form is None or wanted is None:
        return Response(status_code=400)
    return _answer(await _keep(call, wanted, form.file, overwrite=form.overwrite))


async def upload_mask(request: Request, call: Call) -> Response:
    """Keep the picture that `original_ref` names with the alpha of the upload instead of its own.

    Where that picture is not there the answer is 200 with a name and nothing is kept, as ComfyUI has it. 400 also
    where one of them is no picture, or they differ in size. Raises NotAPicture, PictureTooLarge, SizesDiffer.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def take(chunks: AsyncIterator[bytes]) -> Spooled:
            spool = spooled(call.services.storage.spool, chunks, call.services.upload_limit)
            return await stack.enter_async_context(spool)

        form = await read_form(request.headers.get("content-type"), _body(request, call), take)
        wanted, original = (_wanted(form), _original(form)) if form else (None, None)
        if form is None or wanted is None or original is None:
            return Response(status_code=400)
        return _answer(await _mask(call, form, wanted, original))


async def _mask(call: Call, form: Form[Spooled], wanted: FileName, original: FileName) -> FileName:
    asset = await awaited.find(call, original)
    if asset is not None:
        return await _keep(call, wanted, await _merged(call, asset, form.file), overwrite=form.overwrite)
    async with call.services.database.autocommit() as tx:
        return await naming.free(tx, call.caller.account_id, wanted, form.file.hash)


async def _merged(call: Call, original: Asset, mask: Spooled) -> Received:
    services = call.services
    async with fetched(services.storage, original) as picture:
        merged = await services.pictures.masked(picture, mask)
    return await assets.receive_bytes(
        services.database, services.storage, merged, limit_bytes=services.upload_limit
    )


async def _keep(call: Call, wanted: FileName, received: Received, *, overwrite: bool) -> FileName:
    services, account_id = call.services, call.caller.account_id
    return await recording.recorded(
        services.database,
        services.storage,
        received,
        lambda tx, came: naming.keep(tx, account_id, came, wanted, overwrite=overwrite),
    )


def _body(request: Request, call: Call) -> AsyncIterator[bytes]:
    return bodies.limited(request, call.services.upload_limit + FORM_BYTES)


def _wanted(form: Form[Spooled] | Form[Received]) -> FileName | None:
    folder = parse_folder(form.fields.get("type", Folder.INPUT))
    return parse_new(folder, form.fields.get("subfolder", ""), form.filename) if folder else None


def _original(form: Form[Spooled]) -> FileName | None:
    """What `original_ref` names: `{filename, subfolder?, type?}`, of an output where no type is said.

    Raises MalformedBody for what is not JSON.
    """
    told = form.fields.get("original_ref")
    if told is None:
        raise MalformedUpload("The form has no field original_ref.")
    ref = bodies.parse_object(told.encode())
    match ref.get("filename"), ref.get("subfolder", ""), ref.get("type", Folder.OUTPUT):
        case str() as filename, str() as subfolder, str() as kind:
            name, annotation = annotated(filename)
            folder = annotation or parse_folder(kind)
            below, inside = inner_path(name), inner_path(subfolder)
        case _:
            return None
    if not folder or not below or inside is None or ".." in name:
        return None
    return file_name(folder, f"{inside}/{below}" if inside else below)


def _answer(file: FileName) -> Response:
    return json_response({"name": file.name, "subfolder": file.subfolder, "type": file.folder})


ROUTES = (post("/upload/image", upload_image), post("/upload/mask", upload_mask))
