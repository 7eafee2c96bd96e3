"""A server as admins are shown it: one state, why and since when, what it has, what it does, who drives it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from atelier.dialects.asked import moment
from atelier.fleet.model import Health
from atelier.fleet.store.operating import Run, Seen, ServerEvent


class Device(BaseModel):
    """Bytes, as the server last told them."""

    name: str
    vram_total: int | None
    vram_free: int | None


class ServerRun(BaseModel):
    """A live attempt: `claimed` is placed there, `running` has begun."""

    job_id: str
    account: str
    attempt: int
    state: str
    since: str | None


class ServerShown(BaseModel):
    """`health` is what its dispatcher found, `state` the one word that also tells work and drain."""

    id: str
    url: str
    enabled: bool
    origin: str
    state: Health
    health: Health
    reason: str
    since: str | None
    drain: bool
    share: float
    max_per_minute: int | None
    run_timeout: float | None
    quarantined_at: str | None
    quarantine_reason: str
    probe_asked_at: str | None
    driven_by: str | None = Field(description="The dispatcher that leases it now; null: nobody does.")
    private_to: str | None = Field(description="The one dispatcher that may lease it; null: any may.")
    device: Device | None
    comfyui_version: str | None
    node_packs: list[str]
    warm: list[str] = Field(description="Lanes whose models are loaded there.")
    stay_until: str | None
    running: list[ServerRun]


class ServerEventShown(BaseModel):
    id: int
    kind: str
    data: dict[str, Any]
    at: str


class ServerDetails(ServerShown):
    events: list[ServerEventShown]


class ServerList(BaseModel):
    servers: list[ServerShown]


class ServerAdded(BaseModel):
    id: str


class Probing(BaseModel):
    """`what` says in a sentence what happens now."""

    id: str
    what: str


def shown(seen: Seen, packs: Mapping[bytes, Sequence[str]]) -> dict[str, Any]:
    """`packs`: those of custom nodes, by inventory."""
    server = seen.server
    return {
        "id": server.id,
        "url": server.url,
        "enabled": server.enabled,
        "origin": server.origin,
        "state": seen.state,
        "health": server.health,
        "reason": server.health_reason,
        "since": moment(server.health_at),
        "drain": server.drain,
        "share": server.share,
        "max_per_minute": server.max_per_minute,
        "run_timeout": server.run_timeout,
        "quarantined_at": moment(server.quarantined_at),
        "quarantine_reason": server.quarantine_reason,
        "probe_asked_at": moment(server.probe_asked_at),
        "driven_by": seen.driver or None,
        "private_to": server.only_dispatcher or None,
        "device": _device(seen),
        "comfyui_version": seen.comfyui_version,
        "node_packs": list(packs.get(server.inventory_digest or b"", ())),
        "warm": list(server.warm),
        "stay_until": moment(server.stay_until),
        "running": [_run(one) for one in seen.runs],
    }


def detailed(seen: Seen, events: Sequence[ServerEvent], packs: Mapping[bytes, Sequence[str]]) -> dict[str, Any]:
    """`shown`, and what happened to it."""
    return {**shown(seen, packs), "events": [_event(one) for one in events]}


def _device(seen: Seen) -> dict[str, Any] | None:
    device = seen.device
    if device is None:
        return None
    return {"name": device.name, "vram_total": device.vram_total, "vram_free": device.vram_free}


def _run(run: Run) -> dict[str, Any]:
    return {
        "job_id": str(run.job_id),
        "account": run.account,
        "attempt": run.attempt,
        "state": run.state,
        "since": moment(run.since),
    }


def _event(event: ServerEvent) -> dict[str, Any]:
    return {"id": event.id, "kind": event.kind, "data": dict(event.data), "at": moment(event.created_at)}
