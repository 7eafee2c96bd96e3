"""What the editor keeps for its user: each account is the one user of a single-user server (wire contract 10)."""

import datetime as dt
import mimetypes
from typing import Any
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from atelier.assets.model import Asset
from atelier.dialects import stored
from atelier.dialects.auth import Call
from atelier.dialects.comfyui.envelope import sentence
from atelier.dialects.comfyui.routing import delete, get, post
from atelier.dialects.comfyui.view import disposition
from atelier.kit.errors import Refusal
from atelier.kit.http import bodies
from atelier.kit.http.answers import compact
from atelier.kit.http.ranges import Slice, Unsatisfiable, Whole
from atelier.userdata import rules, service
from atelier.userdata.model import BadPath, FileExists, NoSuchFile, PathLeadsOut, UserFile

STYLES = "user.css"
"""The editor loads it as a style sheet; everything else is only to be saved."""

TREE_ROUTE = "/v2/userdata"


async def users(_request: Request, _call: Call) -> Response:
    """GET /users, as a single-user server answers."""
    return _json({"storage": "server", "migrated": True})


async def new_user(_request: Request, _call: Call) -> Response:
    """POST /users: an account is one user, and keys are made elsewhere."""
    return sentence("An account has one user: an operator makes accounts and keys.")


async def settings(_request: Request, call: Call) -> Response:
    """GET /settings."""
    async with call.services.database.autocommit() as tx:
        return _json(await service.settings(tx, call.caller.account_id))


async def setting(request: Request, call: Call) -> Response:
    """GET /settings/{id}: its value, null for one that is not set."""
    async with call.services.database.autocommit() as tx:
        return _json(await service.setting(tx, call.caller.account_id, request.path_params["id"]))


async def change_settings(request: Request, call: Call) -> Response:
    """POST /settings: an object is merged in."""
    values = await bodies.read_object(request, call.services.json_limit)
    return await _changed(call, values)


async def change_setting(request: Request, call: Call) -> Response:
    """POST /settings/{id}: any JSON value."""
    value = bodies.parse_json(await bodies.read(request, call.services.json_limit))
    return await _changed(call, {request.path_params["id"]: value})


async def list_files(request: Request, call: Call) -> Response:
    """GET /userdata?dir=: the paths below one folder, split or with sizes if asked."""
    query = request.query_params
    if not query.get("dir"):
        return PlainTextResponse("Directory not provided", 400)
    try:
        folder = rules.parse_folder(query["dir"])
    except (BadPath, PathLeadsOut):
        return PlainTextResponse("Invalid directory", 403)
    async with call.services.database.autocommit() as tx:
        files = await service.files(tx, call.caller.account_id, folder)
    if folder and not files:
        return PlainTextResponse("Directory not found", 404)
    found = rules.listed(files, folder, recurse=_is_true(request, "recurse"))
    if _is_true(request, "full_info"):
        return _json([_info(file, path) for path, file in found])
    if _is_true(request, "split"):
        return _json([[path, *path.split("/")] for path, _ in found])
    return _json([path for path, _ in found])


async def list_tree(request: Request, call: Call) -> Response:
    """GET /v2/userdata?path=: everything below one folder, folders first."""
    try:
        folder = rules.parse_folder(unquote(request.query_params.get("path", "")))
    except (BadPath, PathLeadsOut):
        return PlainTextResponse("Invalid path requested", 400)
    async with call.services.database.autocommit() as tx:
        files = await service.files(tx, call.caller.account_id, folder)
        itself = await service.file(tx, call.caller.account_id, folder) if folder and not files else None
    if itself is not None:
        return PlainTextResponse("Requested path is not a directory", 400)
    if folder and not files:
        return PlainTextResponse("Requested path not found", 404)
    folders = [
        {"name": path.rpartition("/")[2], "path": path, "type": "directory"}
        for path in rules.folders(files, folder)
    ]
    return _json([*_by_name(folders), *_by_name([_entry(file) for file in files])])


async def read_file(request: Request, call: Call) -> Response:
    """GET /userdata/{file}: its bytes, to be saved."""
    try:
        path = _the_file(request)
        async with call.services.database.autocommit() as tx:
            file, asset = await service.content(tx, call.caller.account_id, path)
    except (BadPath, PathLeadsOut, NoSuchFile) as refusal:
        return _refused(refusal)
    headers = _headers(file)
    if stored.has_it(request, stored.etag_of(asset), file.modified_at):
        return Response(status_code=304, headers={**headers, "ETag": stored.etag_of(asset)})
    return await _bytes(request, call, asset, headers)


async def post_file(request: Request, call: Call) -> Response:
    """POST /userdata/{file} keeps the body there; POST /userdata/{file}/move/{dest} moves the file."""
    named = _segments(request)
    match len(named):
        case 1:
            return await _write(request, call)
        case 3 if named[1] == "move":
            return await _move(request, call, _name(named[0]), _name(named[2]))
        case _:
            raise HTTPException(405)


async def delete_file(request: Request, call: Call) -> Response:
    """DELETE /userdata/{file}."""
    try:
        async with call.services.database.transaction() as tx:
            await service.delete(tx, call.caller.account_id, _the_file(request))
    except (BadPath, PathLeadsOut, NoSuchFile) as refusal:
        return _refused(refusal)
    return Response(status_code=204)


async def _changed(call: Call, values: dict[str, Any]) -> Response:
    async with call.services.database.transaction() as tx:
        await service.change_settings(tx, call.caller.account_id, values)
    return Response()


async def _write(request: Request, call: Call) -> Response:
    services = call.services
    try:
        file = await service.write(
            services.database,
            services.storage,
            call.caller.account_id,
            _the_file(request),
            bodies.limited(request, services.user_file_limit),
            bounds=service.Bounds(services.user_file_limit, services.user_files_most),
            overwrite=_may_overwrite(request),
        )
    except (BadPath, PathLeadsOut, FileExists) as refusal:
        return _refused(refusal)
    return _told(request, file)


async def _move(request: Request, call: Call, source: str, target: str) -> Response:
    """A target that cannot be is 400 (in ComfyUI it is 500, by a slip)."""
    try:
        path = rules.parse_file(source)
    except (BadPath, PathLeadsOut) as refusal:
        return _refused(refusal)
    try:
        to = rules.parse_file(target)
        async with call.services.database.transaction() as tx:
            file = await service.move(tx, call.caller.account_id, path, to, overwrite=_may_overwrite(request))
    except PathLeadsOut as refusal:
        return PlainTextResponse(refusal.message, 400)
    except (BadPath, FileExists, NoSuchFile) as refusal:
        return _refused(refusal)
    return _told(request, file)


async def _bytes(request: Request, call: Call, asset: Asset, headers: dict[str, str]) -> Response:
    bodiless = request.method == "HEAD"
    match Whole() if bodiless else stored.part_of(request, asset):
        case Whole():
            return await stored.content(call.services, asset, None, headers, bodiless=bodiless)
        case Slice() as part:
            return await stored.content(call.services, asset, part, headers)
        case Unsatisfiable():
            return Response(status_code=416, headers={"Content-Range": f"bytes */{asset.size}"})


def _refused(refusal: Refusal) -> Response:
    """The statuses and words of app/user_manager.py."""
    match refusal:
        case PathLeadsOut():
            return Response(status_code=403)
        case NoSuchFile():
            return Response(status_code=404)
        case FileExists():
            return PlainTextResponse("File already exists", 409)
        case _:
            return PlainTextResponse(refusal.message, 400)


def _headers(file: UserFile) -> dict[str, str]:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return {
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(file.name, attached=file.path != STYLES),
        "Content-Type": kind,
        "Last-Modified": stored.http_date(file.modified_at),
        "Vary": "Authorization, Cookie, X-API-Key",
    }


def _the_file(request: Request) -> str:
    """The plain path that the one segment behind /userdata/ names. Raises NoSuchFile, PathLeadsOut, BadPath."""
    named = _segments(request)
    if len(named) != 1:
        raise NoSuchFile("A path of a file is one segment: write %2F for its slashes.")
    return rules.parse_file(_name(named[0]))


def _segments(request: Request) -> list[str]:
    """As they came: `a%2Fb` is one segment, which the decoded path does not tell any more."""
    raw: bytes = request.scope["raw_path"]
    return raw.partition(b"/userdata/")[2].decode("latin-1").split("/")


def _name(segment: str) -> str:
    """Decoded; what still has a % is decoded once more, as ComfyUI does."""
    name = unquote(segment)
    return unquote(name) if "%" in name else name


def _told(request: Request, file: UserFile) -> Response:
    return _json(_info(file, file.path) if _is_true(request, "full_info") else file.path)


def _info(file: UserFile, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "size": file.size,
        "modified": _milliseconds(file.modified_at),
        "created": _milliseconds(file.created_at),
    }


def _entry(file: UserFile) -> dict[str, Any]:
    modified = _milliseconds(file.modified_at)
    return {"name": file.name, "path": file.path, "type": "file", "size": file.size, "modified": modified}


def _by_name(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: (entry["name"].lower(), entry["path"]))


def _milliseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def _is_true(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _may_overwrite(request: Request) -> bool:
    return request.query_params.get("overwrite") != "false"


def _json(value: object) -> Response:
    return Response(compact(value), media_type="application/json")


ROUTES: list[Route] = [
    get("/users", users),
    post("/users", new_user),
    get("/settings", settings),
    post("/settings", change_settings),
    get("/settings/{id:path}", setting),
    post("/settings/{id:path}", change_setting),
    get("/userdata", list_files),
    get(TREE_ROUTE, list_tree),
    get("/userdata/{named:path}", read_file),
    post("/userdata/{named:path}", post_file),
    delete("/userdata/{named:path}", delete_file),
]
