"""Of ComfyUI's internal routes only what the editor needs is here, and it tells a caller only of its own.

A server's log has everybody's prompts in it, and its folders are nobody's business.
"""

import datetime as dt

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from atelier.assets import naming
from atelier.assets.names import parse_folder
from atelier.dialects.auth import Call
from atelier.dialects.comfyui.models import folder_names, place_of
from atelier.dialects.comfyui.routing import get, patch
from atelier.jobs import journal
from atelier.jobs.journal import Line
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response

SUBSCRIPTION_BYTES = 10_000
SIZE = {"cols": 120, "rows": 40}
"""Of the terminal that a server writes to."""


async def logs(_: Request, call: Call) -> Response:
    """One string: a line for each thing that happened to the caller's newest jobs."""
    return JSONResponse("".join(f"{_time(line)} - {line.text}\n" for line in await _lines(call)))


async def raw_logs(_: Request, call: Call) -> Response:
    entries = [{"t": _time(line), "m": f"{line.text}\n"} for line in await _lines(call)]
    return json_response({"entries": entries, "size": SIZE})


async def subscribe(request: Request, _: Call) -> Response:
    """Taken, and nothing follows: what happens to the caller's jobs its sockets are told anyway."""
    body = await bodies.read_object(request, SUBSCRIPTION_BYTES)
    if not isinstance(body.get("clientId"), str) or not isinstance(body.get("enabled"), bool):
        raise bodies.MalformedBody('Say {"clientId": "<id>", "enabled": true}.')
    return Response()


async def files(request: Request, call: Call) -> Response:
    """The caller's own, newest first."""
    folder = parse_folder(request.path_params["folder"])
    if folder is None:
        return json_response({"error": "Invalid directory type"}, 400)
    async with call.services.database.autocommit() as tx:
        names = await naming.names(tx, call.caller.account_id, folder, newest_first=True)
    return JSONResponse(names)


async def folder_paths(_: Request, call: Call) -> Response:
    """As a ComfyUI names them in its own folder: where they lie on servers is not told."""
    catalogue = await call.services.shelf.catalogue(call.services.intake.fleet)
    return json_response({name: [place_of(name)] for name in folder_names(catalogue.files)})


async def _lines(call: Call) -> list[Line]:
    async with call.services.database.autocommit() as tx:
        return await journal.lines(tx, call.caller.account_id)


def _time(line: Line) -> str:
    return line.at.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


BARE = [
    get("/internal/logs", logs),
    get("/internal/logs/raw", raw_logs),
    patch("/internal/logs/subscribe", subscribe),
    get("/internal/files/{folder}", files),
    get("/internal/folder_paths", folder_paths),
]
"""Only without the prefix /api (contract, section 1)."""
