"""Which model files exist on which servers, by folder, as each server told last; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from atelier.fleet.inventory import Inventory
from atelier.fleet.loaders import LOADERS, NOT_FILES
from atelier.fleet.model import Server
from atelier.fleet.needs import takes_jobs
from atelier.fleet.requirements import nearest

ALIASES: Mapping[str, str] = {"unet": "diffusion_models", "clip": "text_encoders"}
"""What ComfyUI called these folders before."""


@dataclass(frozen=True, slots=True)
class Held:
    """A model file and the servers that have it. `size` in bytes, 0: not told."""

    folder: str
    name: str
    size: int
    servers: tuple[Server, ...]

    @property
    def ready(self) -> int:
        """How many of these servers take jobs now."""
        return sum(map(takes_jobs, self.servers))


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a model file exists: where, and what is called almost so, best first."""

    name: str
    held: tuple[Held, ...]
    nearest: tuple[str, ...]

    @property
    def servers(self) -> tuple[Server, ...]:
        """Those that have it, in whatever folder."""
        return tuple({server.id: server for held in self.held for server in held.servers}.values())

    @property
    def ready(self) -> int:
        """How many of them take jobs now."""
        return sum(map(takes_jobs, self.servers))

    def words(self, of: int) -> str:
        """One sentence, `of` being how many servers there are."""
        if self.held:
            folders = " and ".join(held.folder for held in self.held)
            return f"{self.name} exists on {len(self.servers)} of {of} servers, in {folders}."
        perhaps = f" Did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        return f"{self.name} exists on none of {of} servers.{perhaps}"


class Stock:
    """All model files of a fleet at one moment."""

    def __init__(self, servers: Sequence[Server], inventories: Iterable[Inventory]) -> None:
        self.servers = tuple(servers)
        self._shelves: dict[str, dict[str, list[Server]]] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        for inventory in inventories:
            self._add(inventory, [one for one in servers if one.inventory_digest == inventory.digest])

    @property
    def folders(self) -> list[str]:
        return sorted(self._shelves)

    @property
    def unknown(self) -> int:
        """Servers that have not told yet what they have."""
        return sum(server.inventory_digest is None for server in self.servers)

    def held(self, folder: str) -> list[Held]:
        """The model files of a folder, by name."""
        return [self._held(folder, name) for name in sorted(self._shelves.get(folder, ()))]

    def find(self, name: str, folder: str | None = None) -> Found:
        """A model file by its exact name, in one folder or in any."""
        places = [ALIASES.get(folder, folder)] if folder else self.folders
        held = tuple(self._held(place, name) for place in places if name in self._shelves.get(place, ()))
        if held:
            return Found(name, held, ())
        known = (each for place in places for each in self._shelves.get(place, ()))
        return Found(name, (), tuple(nearest(name, known)))

    def _held(self, folder: str, name: str) -> Held:
        servers = sorted(self._shelves[folder][name], key=lambda server: server.id)
        return Held(folder, name, self._sizes.get((folder, name), 0), tuple(servers))

    def _add(self, inventory: Inventory, servers: Sequence[Server]) -> None:
        for folder, files in models(inventory).items():
            shelf = self._shelves.setdefault(folder, {})
            for name, size in files.items():
                shelf.setdefault(name, []).extend(servers)
                self._sizes[folder, name] = max(size, self._sizes.get((folder, name), 0))


def models(inventory: Inventory) -> Mapping[str, Mapping[str, int]]:
    """Model files by folder with their sizes. Who does not list its folders has what its loaders offer."""
    if inventory.files:
        return {folder: files for folder, files in inventory.files.items() if files}
    found: dict[str, dict[str, int]] = {}
    for class_type, inputs in LOADERS.items():
        for name, folder in inputs.items():
            files = inventory.options(class_type, name) or ()
            if texts := {file: 0 for file in files if isinstance(file, str) and file.lower() not in NOT_FILES}:
                found.setdefault(folder, {}).update(texts)
    return found
