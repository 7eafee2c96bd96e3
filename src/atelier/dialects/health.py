"""/health says that this process answers; /health/detailed says what it can reach, and needs a key."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from atelier.accounts.model import Role
from atelier.dialects.auth import Known
from atelier.dialects.openapi import answer, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.fleet import service as fleet
from atelier.fleet.model import Health
from atelier.fleet.needs import takes_jobs
from atelier.fleet.store import leasing
from atelier.fleet.store.operating import Seen
from atelier.jobs.store import reads
from atelier.kit import clock
from atelier.kit.http.answers import json_response

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: Literal["healthy"]


class ServerHealth(BaseModel):
    """One ComfyUI server as its dispatcher last saw it. Its reason may name addresses, so admins alone read it.

    `state` also tells work and drain, `health` does not.
    """

    id: str
    state: Health
    health: Health
    reason: str
    enabled: bool
    since: str | None


class DatabaseHealth(BaseModel):
    answered_in_ms: float


class Detailed(BaseModel):
    """`queue` counts unfinished jobs by stored state; `degraded` says that nobody works on them."""

    status: Literal["healthy", "degraded"]
    reason: str
    database: DatabaseHealth
    dispatchers: int
    queue: dict[str, int]
    servers: list[ServerHealth]


@router.get("/health", responses=answer(200, Alive))
async def health() -> Response:
    """The process answers. It asks nobody else, so that no replica is killed because the database is away."""
    return json_response({"status": "healthy"})


@router.get("/health/detailed", responses=answer(200, Detailed) | refusals(ErrorEnvelope))
async def detailed(call: Known) -> Response:
    """Database, queue and servers as this process sees them."""
    asked = clock.monotonic()
    async with call.services.database.autocommit() as tx:
        queue = await reads.counts(tx)
        took = clock.monotonic() - asked
        dispatchers = await leasing.dispatchers_alive(tx)
        servers = await fleet.seen(tx)
    reason = _trouble(dispatchers, servers)
    is_admin = call.caller.role is Role.ADMIN
    return json_response(
        {
            "status": "degraded" if reason else "healthy",
            "reason": reason,
            "database": {"answered_in_ms": round(took * 1000, 3)},
            "dispatchers": dispatchers,
            "queue": queue,
            "servers": [_spelled(one, is_admin=is_admin) for one in servers],
        }
    )


def _trouble(dispatchers: int, servers: Sequence[Seen]) -> str:
    """Why jobs wait, in one sentence; empty when nothing keeps them."""
    if not dispatchers:
        return "No dispatcher is running."
    if not any(takes_jobs(one.server) for one in servers):
        return "No server is ready."
    return ""


def _spelled(seen: Seen, *, is_admin: bool) -> Mapping[str, Any]:
    server = seen.server
    return {
        "id": server.id,
        "state": seen.state,
        "health": server.health,
        "reason": server.health_reason if is_admin else "",
        "enabled": server.enabled,
        "since": clock.rfc3339(server.health_at) if server.health_at else None,
    }
