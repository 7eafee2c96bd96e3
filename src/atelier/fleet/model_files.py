"""The model files of the fleet by their folders: what the servers list, and what their loaders offer."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet

from atelier.fleet.view import FleetView


class ModelFiles:
    """Asked like a function, with the name of a folder of ComfyUI; no files: nobody has told of any."""

    def __init__(self, view: FleetView) -> None:
        self._view = view
        self._of: AbstractSet[bytes] = frozenset()
        self._files: dict[str, frozenset[str]] = {}

    def __call__(self, folder: str) -> Collection[str]:
        """Counted anew when the fleet has changed."""
        known = {inventory.digest for inventory in self._view.inventories()}
        if known != self._of:
            self._of, self._files = known, {}
        if folder not in self._files:
            self._files[folder] = self._gathered(folder)
        return self._files[folder]

    def _gathered(self, folder: str) -> frozenset[str]:
        found: set[str] = set()
        for inventory in self._view.inventories():
            found |= inventory.files.get(folder, {}).keys()
            found |= {name for name, its in inventory.folders.items() if its == folder}
        return frozenset(found)
