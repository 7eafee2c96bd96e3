"""Which servers can run a workflow as it is by default, and what the others lack; as each server told last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from atelier.comfy.graph import shape_digest
from atelier.fleet.inventory import Inventory
from atelier.fleet.machine import vram_total
from atelier.fleet.model import Missing, Requirement, Server
from atelier.fleet.model_files import ModelFiles
from atelier.fleet.needs import takes_jobs
from atelier.fleet.requirements import missing as missing_of
from atelier.fleet.view import FleetView
from atelier.workflows.checking import requirement
from atelier.workflows.manifest import InvalidManifest
from atelier.workflows.model import Manifest, Workflow
from atelier.workflows.samples import sample

GIB = 2**30
NEARLY = 0.94
"""A card of 24 GiB says that it has 23.6: the rest is its driver's."""

MOST_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Fit:
    """One server and one workflow. `missing` None: the server has told nothing yet; `vram`: GiB that it has."""

    server: Server
    missing: Missing | None
    vram: float
    vram_short: bool

    @property
    def able(self) -> bool:
        """Whether it has all that is needed, also while it is away."""
        return self.missing is not None and not self.missing and not self.vram_short

    @property
    def ready(self) -> bool:
        """Whether it could begin now."""
        return self.able and takes_jobs(self.server)


@dataclass(slots=True)
class Readiness:
    """What was found out about workflows, kept until the fleet's inventories change."""

    _inventories: Mapping[bytes, Inventory] = field(default_factory=dict[bytes, Inventory])
    _needs: dict[bytes, Requirement | None] = field(default_factory=dict[bytes, Requirement | None])
    _missing: dict[tuple[bytes, bytes], Missing] = field(default_factory=dict[tuple[bytes, bytes], Missing])
    _shapes: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _models: ModelFiles | None = None

    def look(self, fleet: FleetView) -> "Look":
        """The fleet as it is at this moment."""
        now = {inventory.digest: inventory for inventory in fleet.inventories()}
        if now.keys() != self._inventories.keys() or len(self._missing) > MOST_KEPT:
            self._inventories, self._needs, self._missing, self._shapes = now, {}, {}, {}
        return Look(self, fleet.servers)

    def models(self, fleet: FleetView) -> ModelFiles:
        """The fleet's model files by folder."""
        if self._models is None:
            self._models = ModelFiles(fleet)
        return self._models

    def shape(self, workflow: Workflow) -> bytes:
        """Runs of one shape take equally long; this is that of the workflow as it is by default."""
        if workflow.digest not in self._shapes:
            self._shapes[workflow.digest] = _shape(workflow)
        return self._shapes[workflow.digest]

    def needs(self, workflow: Workflow) -> Requirement | None:
        """What it takes; None for one that does not fit its own graph."""
        if workflow.digest not in self._needs:
            self._needs[workflow.digest] = _needs(workflow, tuple(self._inventories.values()))
        return self._needs[workflow.digest]

    def missing(self, workflow: Workflow, digest: bytes | None) -> Missing | None:
        """What an inventory lacks; None where it, or what it takes, is not known."""
        inventory = self._inventories.get(digest) if digest else None
        wanted = self.needs(workflow)
        if inventory is None or wanted is None:
            return None
        key = (workflow.digest, inventory.digest)
        if key not in self._missing:
            self._missing[key] = missing_of(inventory, wanted)
        return self._missing[key]


@dataclass(frozen=True, slots=True)
class Look:
    """One moment of the fleet, for as many workflows as somebody asks for."""

    readiness: Readiness
    servers: Sequence[Server]

    def fits(self, workflow: Workflow) -> list[Fit]:
        """Every server, in the fleet's order."""
        return [self._fit(server, workflow) for server in self.servers]

    def runnable(self, workflow: Workflow) -> bool | None:
        """Whether some server could begin it now; None while no server has told what it has."""
        fits = self.fits(workflow)
        if all(fit.missing is None for fit in fits):
            return None
        return any(fit.ready for fit in fits)

    def _fit(self, server: Server, workflow: Workflow) -> Fit:
        gib = vram_total(server.system) / GIB
        short = 0 < gib < workflow.manifest.min_vram * NEARLY
        return Fit(server, self.readiness.missing(workflow, server.inventory_digest), round(gib, 1), short)


def packs_for(manifest: Manifest, missing: Missing) -> list[str]:
    """The packs that have what is missing, as the manifest names them."""
    return [pack.name for pack in manifest.packs if missing.classes & set(pack.nodes)]


def closest(fits: Sequence[Fit]) -> Fit | None:
    """The server that lacks the least, of those that told what they have."""
    told = [fit for fit in fits if fit.missing is not None]
    return min(told, key=_distance, default=None)


def _distance(fit: Fit) -> tuple[int, int, bool]:
    missing = fit.missing or Missing(frozenset(), frozenset())
    return len(missing.classes), len(missing.models), fit.vram_short


def _needs(workflow: Workflow, inventories: tuple[Inventory, ...]) -> Requirement | None:
    try:
        return requirement(workflow, inventories)
    except InvalidManifest:
        return None


def _shape(workflow: Workflow) -> bytes:
    try:
        return shape_digest(sample(workflow.manifest, workflow.graph))
    except InvalidManifest:
        return shape_digest(workflow.graph)
