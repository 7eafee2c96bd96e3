"""What forecasts know beside the queue: what servers have, what jobs need, how long things take; read seldom."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

from atelier.fleet import requirements
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Missing, Requirement, Server
from atelier.fleet.store import catalogs, posts
from atelier.fleet.view import FleetView
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import ServerId

KEPT = 20_000
JUDGED = 100_000
MEASURED_SECONDS = 5.0
"""How old measured times may be; dispatchers write theirs as often."""

UNMEASURED_LOAD = 5.0
"""Seconds that models are taken to load where nobody has seen it."""

_S = TypeVar("_S", bound=Hashable)


class Known:
    """Remembered from one reading to the next; `view` spares reading inventories that this process has anyway."""

    def __init__(self, view: FleetView | None) -> None:
        self._view = view
        self._inventories: dict[bytes, Inventory] = {}
        self._digests: dict[ServerId, bytes | None] = {}
        self._requirements: dict[int, Requirement] = {}
        self._judged: dict[tuple[bytes, int], Missing] = {}
        self._runs: dict[bytes, dict[ServerId, float]] = {}
        self._loads: dict[str, dict[ServerId, float]] = {}
        self._measured_at = float("-inf")

    # What a scene asks ---------------------------------------------------------------------------

    def lacks(self, server_id: ServerId, requirement_id: int) -> Missing | None:
        """What this server lacks of the requirement set; None while nobody knows."""
        inventory = self._inventories.get(self._digests.get(server_id) or b"")
        requirement = self._requirements.get(requirement_id)
        if inventory is None or requirement is None:
            return None
        key = (inventory.digest, requirement_id)
        if key not in self._judged:
            if len(self._judged) > JUDGED:
                self._judged.clear()
            self._judged[key] = requirements.missing(inventory, requirement)
        return self._judged[key]

    def run_seconds(self, shape: bytes, server_id: ServerId) -> float | None:
        """A run with its models loaded: as measured there, else as on average elsewhere."""
        return _average(self._runs.get(shape), server_id)

    def load_seconds(self, lane: str, server_id: ServerId) -> float:
        """How long the lane's models take to load there; a guess where nobody has seen it."""
        if not lane:
            return 0.0
        measured = _average(self._loads.get(lane), server_id)
        return UNMEASURED_LOAD if measured is None else measured

    # Reading -------------------------------------------------------------------------------------

    async def meet_servers(self, tx: Tx, servers: Iterable[Server]) -> None:
        """Learn what these servers have."""
        self._digests = {server.id: server.inventory_digest for server in servers}
        wanted = {digest for digest in self._digests.values() if digest}
        kept = {digest: one for digest, one in self._inventories.items() if digest in wanted}
        if self._view is not None:
            kept |= {one.digest: one for one in self._view.inventories() if one.digest in wanted}
        if missing := wanted - kept.keys():
            kept |= {one.digest: one for one in await catalogs.inventories(tx, missing)}
        self._inventories = kept

    async def meet_requirements(self, tx: Tx, requirement_ids: Iterable[int]) -> None:
        """Learn what these requirement sets are."""
        wanted = set(requirement_ids)
        if len(self._requirements) > KEPT:
            self._requirements.clear()
        if unknown := wanted - self._requirements.keys():
            self._requirements |= await catalogs.requirements(tx, unknown)

    def suppose(self, requirement_id: int, requirement: Requirement) -> None:
        """Let this number, which is none of the database's, stand for a requirement set."""
        self._requirements[requirement_id] = requirement

    async def meet_times(self, tx: Tx, shapes: Collection[bytes], lanes: Collection[str]) -> None:
        """Learn how long these take."""
        if clock.monotonic() - self._measured_at > MEASURED_SECONDS:
            self._measured_at = clock.monotonic()
            self._runs, self._loads = {}, {}
        if new_shapes := set(shapes) - self._runs.keys():
            self._runs |= _by_subject(new_shapes, await posts.run_times(tx, new_shapes))
        if new_lanes := set(lanes) - self._loads.keys():
            self._loads |= _by_subject(new_lanes, await posts.load_times(tx, new_lanes))


def _by_subject(
    asked: Iterable[_S], measured: Mapping[tuple[_S, ServerId], float]
) -> dict[_S, dict[ServerId, float]]:
    """By server; also those that nobody measured, so that they are not asked again at once."""
    found: dict[_S, dict[ServerId, float]] = {subject: {} for subject in asked}
    for (subject, server_id), seconds in measured.items():
        found[subject][server_id] = seconds
    return found


def _average(known: Mapping[ServerId, float] | None, server_id: ServerId) -> float | None:
    if not known:
        return None
    return known[server_id] if server_id in known else sum(known.values()) / len(known)
