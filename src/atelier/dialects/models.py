"""Which model files exist where; any key may ask, and only admins are told which servers those are."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Role
from atelier.dialects import asked
from atelier.dialects.auth import Call, Known
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.fleet.stock import Found, Held, Stock
from atelier.kit.http.answers import json_response
from atelier.storage.threads import in_thread

router = APIRouter(prefix="/api/v1", tags=["models"])

MOST_AT_ONCE = 20
"""Names of one request: one that does not exist is compared with all that do."""
LONGEST = 400

Name = Annotated[str, Field(min_length=1, max_length=LONGEST, examples=["flux1-dev.safetensors"])]
Folder = Annotated[str, Field(min_length=1, max_length=LONGEST, examples=["checkpoints"])]

_FOLDER = {
    "name": "folder",
    "in": "query",
    "description": "Only this folder of ComfyUI's `models`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
}
_NAME = {
    "name": "name",
    "in": "query",
    "required": True,
    "description": "The file's name, as loaders list it.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
}


class ModelShown(BaseModel):
    """`on` so many servers, of which `ready` take jobs now; `size_bytes` 0: not told. `servers` for admins."""

    name: str
    size_bytes: int
    on: int
    ready: int
    servers: list[str] | None


class FolderShown(BaseModel):
    folder: str
    models: list[ModelShown]


class ModelList(BaseModel):
    """`servers` are registered; `unknown` of them have not told yet what they have."""

    servers: int
    unknown: int
    folders: list[FolderShown]


class Place(ModelShown):
    folder: str


class Verified(BaseModel):
    """`on` counts servers in whatever folder; `nearest` names are there when this one is not. `says`: in words."""

    name: str
    exists: bool
    on: int
    of: int
    ready: int
    places: list[Place]
    nearest: list[str]
    says: str


class VerifiedList(BaseModel):
    models: list[Verified]


class Asked(asked.Closed):
    name: Name
    folder: Folder | None = None


class Several(asked.Closed):
    models: list[Asked] = Field(min_length=1, max_length=MOST_AT_ONCE)


@router.get(
    "/models",
    responses=answer(200, ModelList) | refusals(ErrorEnvelope, 400),
    openapi_extra={"parameters": [_FOLDER]},
)
async def list_models(request: Request, call: Known) -> Response:
    """All model files by folder, as servers told last, also those that are away now."""
    folder = _text(request, "folder")
    stock = _stock(call)
    folders = [each for each in stock.folders if folder in {None, each}]
    shown = [{"folder": each, "models": [_model(held, call) for held in stock.held(each)]} for each in folders]
    return json_response({"servers": len(stock.servers), "unknown": stock.unknown, "folders": shown})


@router.get(
    "/models/verify",
    responses=answer(200, Verified) | refusals(ErrorEnvelope, 400),
    openapi_extra={"parameters": [_NAME, _FOLDER]},
)
async def verify_model(request: Request, call: Known) -> Response:
    """Whether a model file exists, on how many servers, and what is called almost so."""
    name = _text(request, "name")
    if name is None:
        raise asked.InvalidQuery("name says which model file: ?name=flux1-dev.safetensors")
    stock = _stock(call)
    found = await in_thread(stock.find, name, _text(request, "folder"))
    return json_response(_verified(found, stock, call))


@router.post(
    "/models/verify",
    responses=answer(200, VerifiedList) | refusals(ErrorEnvelope, 400, 413, 422),
    openapi_extra=json_body(Several),
)
async def verify_models(request: Request, call: Known) -> Response:
    """The same for several; twenty at most."""
    wanted = await asked.read(request, Several)
    stock = _stock(call)
    found = await in_thread(lambda: [stock.find(one.name, one.folder) for one in wanted.models])
    return json_response({"models": [_verified(one, stock, call) for one in found]})


def _stock(call: Call) -> Stock:
    fleet = call.services.intake.fleet
    return Stock(fleet.servers, fleet.inventories())


def _text(request: Request, name: str) -> str | None:
    """Raises InvalidQuery."""
    text = request.query_params.get(name)
    if text is not None and not 1 <= len(text) <= LONGEST:
        raise asked.InvalidQuery(f"{name} must have 1 to {LONGEST} characters.")
    return text


def _model(held: Held, call: Call) -> dict[str, Any]:
    return {
        "name": held.name,
        "size_bytes": held.size,
        "on": len(held.servers),
        "ready": held.ready,
        "servers": [server.id for server in held.servers] if call.caller.role is Role.ADMIN else None,
    }


def _verified(found: Found, stock: Stock, call: Call) -> dict[str, Any]:
    return {
        "name": found.name,
        "exists": bool(found.held),
        "on": len(found.servers),
        "of": len(stock.servers),
        "ready": found.ready,
        "places": [{"folder": held.folder, **_model(held, call)} for held in found.held],
        "nearest": list(found.nearest),
        "says": found.words(len(stock.servers)),
    }
