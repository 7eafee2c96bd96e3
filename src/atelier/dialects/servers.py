"""The fleet at run time, for admins: which ComfyUI servers there are, another one, one less."""

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects.auth import Known, require_admin
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.fleet import service as fleet
from atelier.fleet.model import Server
from atelier.kit import clock
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response
from atelier.kit.ids import ServerId

router = APIRouter(prefix="/api/v1", tags=["servers"])

_BODY_BYTES = 65_536


class NewServer(BaseModel):
    """`headers` go with every request to it and are never shown again."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(examples=["http://192.168.1.20:8188"])
    id: str | None = Field(default=None, examples=["gpu-1"])
    headers: dict[str, str] | None = None

    @field_validator("url")
    @classmethod
    def _splits(cls, url: str) -> str:
        """Urlsplit raises ValueError for a broken address or port, which pydantic tells as the field's fault."""
        if urlsplit(url).port == 0:
            raise ValueError("a server has a port from 1 to 65535")
        return url


class ServerShown(BaseModel):
    id: str
    url: str
    enabled: bool
    origin: str
    health: str
    reason: str
    since: str | None


class ServerList(BaseModel):
    servers: list[ServerShown]


class ServerAdded(BaseModel):
    id: str


@router.get("/servers", responses=answer(200, ServerList) | refusals(ErrorEnvelope, 403))
async def list_servers(call: Known) -> Response:
    """All servers, by id, as their dispatchers last saw them."""
    require_admin(call)
    async with call.services.database.autocommit() as tx:
        servers = await fleet.servers(tx)
    return json_response({"servers": [_shown(server) for server in servers]})


@router.post(
    "/servers",
    status_code=201,
    responses=answer(201, ServerAdded) | refusals(ErrorEnvelope, 400, 403, 409, 413, 422),
    openapi_extra=json_body(NewServer),
)
async def add_server(request: Request, call: Known) -> Response:
    """Register a server, or give a known one its new address and headers. Dispatchers take it up at once."""
    require_admin(call)
    asked = _parse(await bodies.read_object(request, _BODY_BYTES))
    async with call.services.database.transaction() as tx:
        server_id = await fleet.add(tx, asked.url, server_id=asked.id, headers=asked.headers)
    call.services.wakeups.publish("fleet")
    return json_response({"id": server_id}, 201)


@router.delete(
    "/servers/{server_id}",
    status_code=204,
    response_class=Response,
    responses=refusals(ErrorEnvelope, 403, 404),
)
async def remove_server(server_id: str, call: Known) -> Response:
    """Take no more jobs there; what runs there ends first."""
    require_admin(call)
    if not server_id.isprintable():
        raise fleet.ServerNotFound("There is no such server.")
    async with call.services.database.transaction() as tx:
        await fleet.remove(tx, ServerId(server_id))
    call.services.wakeups.publish("fleet")
    return Response(status_code=204)


def _parse(body: dict[str, Any]) -> NewServer:
    try:
        return NewServer.model_validate(body, strict=True)
    except ValidationError as error:
        [fault, *_] = error.errors(include_url=False, include_input=False)
        where = ".".join(str(part) for part in fault["loc"])
        raise bodies.MalformedBody(f"{where}: {fault['msg']}.") from None


def _shown(server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "url": server.url,
        "enabled": server.enabled,
        "origin": server.origin,
        "health": server.health,
        "reason": server.health_reason,
        "since": clock.rfc3339(server.health_at) if server.health_at else None,
    }
