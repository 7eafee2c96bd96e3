"""The fleet at run time, for admins: which servers there are and how they fare; more, fewer, drained, probed."""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import Field, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects import asked
from atelier.dialects.auth import Call, Known, require_admin
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.dialects.servers_wire import Probing, ServerAdded, ServerDetails, ServerList, detailed, shown
from atelier.fleet import service as fleet
from atelier.fleet.inventory import Inventory
from atelier.kit.http.answers import json_response
from atelier.kit.ids import ServerId

router = APIRouter(prefix="/api/v1", tags=["servers"])

Share = Annotated[
    float, Field(gt=0, le=1, description="Below 1: a canary, which takes only this part of its turns.")
]
PerMinute = Annotated[int, Field(ge=0, le=100_000, description="Jobs that it may begin in a minute; 0: no limit.")]
RunTimeout = Annotated[float, Field(gt=0, le=604_800, description="Seconds that any run there may take.")]


def _checked(url: str) -> str:
    """Urlsplit raises ValueError for a broken address or port, which pydantic tells as the field's fault."""
    if urlsplit(url).port == 0:
        raise ValueError("a server has a port from 1 to 65535")
    return url


class NewServer(asked.Closed):
    """`headers` go with every request to it and are never shown again. Limits of null: the setting's."""

    url: str = Field(examples=["http://192.168.1.20:8188"])
    id: str | None = Field(default=None, examples=["gpu-1"])
    headers: dict[str, str] | None = None
    enabled: bool = True
    share: Share = 1.0
    max_per_minute: PerMinute | None = None
    run_timeout: RunTimeout | None = None

    @field_validator("url")
    @classmethod
    def _splits(cls, url: str) -> str:
        return _checked(url)


class ServerChange(asked.Closed):
    """What is absent stays as it is. `headers` replace all former ones; a limit of null is the setting's."""

    url: str = Field(default="", examples=["http://192.168.1.20:8188"])
    headers: dict[str, str] = Field(default={})
    enabled: bool = True
    drain: bool = False
    share: Share = 1.0
    max_per_minute: PerMinute | None = None
    run_timeout: RunTimeout | None = None

    @field_validator("url")
    @classmethod
    def _splits(cls, url: str) -> str:
        return _checked(url)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one thing to change")
        return self


@router.get("/servers", responses=answer(200, ServerList) | refusals(ErrorEnvelope, 403))
async def list_servers(call: Known) -> Response:
    """All servers, by id, as their dispatchers last saw them."""
    require_admin(call)
    async with call.services.database.autocommit() as tx:
        servers = await fleet.seen(tx)
    inventories = _inventories(call)
    return json_response({"servers": [shown(one, inventories) for one in servers]})


@router.post(
    "/servers",
    status_code=201,
    responses=answer(201, ServerAdded) | refusals(ErrorEnvelope, 400, 403, 409, 413, 422),
    openapi_extra=json_body(NewServer),
)
async def add_server(request: Request, call: Known) -> Response:
    """Register a server, or give a known one its new address and headers. Dispatchers take it up at once."""
    require_admin(call)
    new = await asked.read(request, NewServer)
    terms = new.model_dump(include=new.model_fields_set - {"url", "id", "headers"})
    async with call.services.database.transaction() as tx:
        server_id = await fleet.add(tx, new.url, server_id=new.id, headers=new.headers, terms=terms)
    call.services.wakeups.publish("fleet")
    return json_response({"id": server_id}, 201)


@router.get("/servers/{server_id}", responses=answer(200, ServerDetails) | refusals(ErrorEnvelope, 403, 404))
async def get_server(server_id: str, call: Known) -> Response:
    """One server with its last fifty events, newest first."""
    require_admin(call)
    async with call.services.database.autocommit() as tx:
        one = await fleet.seen_one(tx, _id(server_id))
        events = await fleet.events(tx, one.server.id)
    return json_response(detailed(one, events, _inventories(call)))


@router.patch(
    "/servers/{server_id}",
    responses=answer(200, ServerDetails) | refusals(ErrorEnvelope, 400, 403, 404, 409, 413, 422),
    openapi_extra=json_body(ServerChange),
)
async def change_server(server_id: str, request: Request, call: Known) -> Response:
    """Give a server another address, headers or limits; switch it off and on; make it a canary. At once."""
    require_admin(call)
    wanted = await asked.read(request, ServerChange)
    return await _changed(call, server_id, wanted.model_dump(include=wanted.model_fields_set))


@router.post(
    "/servers/{server_id}/drain", responses=answer(200, ServerDetails) | refusals(ErrorEnvelope, 403, 404)
)
async def drain_server(server_id: str, call: Known) -> Response:
    """It ends what it runs and takes no more, until it is resumed."""
    require_admin(call)
    return await _changed(call, server_id, {"drain": True})


@router.post(
    "/servers/{server_id}/resume", responses=answer(200, ServerDetails) | refusals(ErrorEnvelope, 403, 404)
)
async def resume_server(server_id: str, call: Known) -> Response:
    """It takes jobs again after it was drained."""
    require_admin(call)
    return await _changed(call, server_id, {"drain": False})


@router.post(
    "/servers/{server_id}/probe",
    status_code=202,
    responses=answer(202, Probing) | refusals(ErrorEnvelope, 403, 404),
)
async def probe_server(server_id: str, call: Known) -> Response:
    """Have it looked at now rather than at its next turn. What runs there goes on."""
    require_admin(call)
    async with call.services.database.transaction() as tx:
        what = await fleet.ask_probe(tx, _id(server_id))
    call.services.wakeups.publish("fleet")
    return json_response({"id": server_id, "what": what}, 202)


@router.delete(
    "/servers/{server_id}",
    status_code=204,
    response_class=Response,
    responses=refusals(ErrorEnvelope, 403, 404),
)
async def remove_server(server_id: str, call: Known) -> Response:
    """Take no more jobs there; what runs there ends first."""
    require_admin(call)
    async with call.services.database.transaction() as tx:
        await fleet.remove(tx, _id(server_id))
    call.services.wakeups.publish("fleet")
    return Response(status_code=204)


async def _changed(call: Call, server_id: str, to: dict[str, Any]) -> Response:
    async with call.services.database.transaction() as tx:
        one = await fleet.change(tx, _id(server_id), to)
        events = await fleet.events(tx, one.server.id)
    call.services.wakeups.publish("fleet")
    return json_response(detailed(one, events, _inventories(call)))


def _inventories(call: Call) -> dict[bytes, Inventory]:
    """By digest; equal servers have one."""
    return {one.digest: one for one in call.services.intake.fleet.inventories()}


def _id(text: str) -> ServerId:
    if not text.isprintable():
        raise fleet.ServerNotFound("There is no such server.")
    return ServerId(text)
