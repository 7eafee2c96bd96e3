"""Servers that other dispatchers drive, as the database has them: where a job may go that failed on ours."""

import math
from collections.abc import Collection, Iterable

from atelier.fleet.inventory import Inventory
from atelier.fleet.machine import vram_total
from atelier.fleet.model import Health, Server, Slot, SlotKind, Waiting
from atelier.fleet.view import FleetView
from atelier.kit.ids import ServerId

_WELL = frozenset({Health.READY, Health.DEGRADED})


class Elsewhere:
    """A server that is its dispatcher's alone may have lost that one, and does not count."""

    def __init__(self, view: FleetView) -> None:
        self._view = view

    def slots(self, ours: Collection[ServerId], waiting: Iterable[Waiting]) -> list[Slot]:
        """No places for us: they say that a job which shall not come back to us has somewhere to go."""
        if not any(job.avoid or job.vram_over for job in waiting):
            return []
        return [_slot(server) for server in self._view.servers if server.id not in ours and _takes_jobs(server)]

    def inventory(self, server_id: ServerId) -> Inventory | None:
        """What it told last."""
        return self._view.inventory_of(server_id)


def _takes_jobs(server: Server) -> bool:
    return server.takes_jobs and server.health in _WELL and not server.only_dispatcher


def _slot(server: Server) -> Slot:
    return Slot(server.id, 0, SlotKind.BUSY, math.inf, vram=vram_total(server.system))
