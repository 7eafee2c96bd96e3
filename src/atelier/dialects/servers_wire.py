"""A server as admins are shown it: one state, why and since when, what it has, what it does, who drives it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from atelier.dialects.asked import moment
from atelier.fleet.inventory import Inventory
from atelier.fleet.machine import machine_of
from atelier.fleet.model import Health
from atelier.fleet.store.operating import Run, Seen, ServerEvent


class Device(BaseModel):
    """What it computes on. Bytes as the server last told them; 0: it did not."""

    name: str
    kind: str
    vram_total: int
    vram_free: int


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
    devices: list[Device]
    comfyui_version: str
    pytorch_version: str
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


def shown(seen: Seen, inventories: Mapping[bytes, Inventory]) -> dict[str, Any]:
    """`inventories` by their digests: the packs of nodes are told from them."""
    server = seen.server
    machine = machine_of(server.system, inventories.get(server.inventory_digest or b""))
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
        "devices": [dataclasses.asdict(device) for device in machine.devices],
        "comfyui_version": machine.comfyui_version,
        "pytorch_version": machine.pytorch_version,
        "node_packs": list(machine.packs),
        "warm": list(server.warm),
        "stay_until": moment(server.stay_until),
        "running": [_run(one) for one in seen.runs],
    }


def detailed(seen: Seen, events: Sequence[ServerEvent], inventories: Mapping[bytes, Inventory]) -> dict[str, Any]:
    """`shown`, and what happened to it."""
    return {**shown(seen, inventories), "events": [_event(one) for one in events]}


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
