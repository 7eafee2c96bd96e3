"""What is warm on a server is what its last jobs loaded, as far as it fits into its memory at once.

No server says which models it holds; this is an estimate: least recently used files leave first, as in its own
memory management. Wrong, it costs one swap more or one that was not needed, never a job.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from atelier.fleet.loaders import LANE

GIB = 1024**3

USABLE = 0.9
"""The share of a server's memory that models fill; the rest is for the pictures and the system."""

_TYPICAL_GIB = {
    "CheckpointLoaderSimple": 6.5,
    "CheckpointLoader": 6.5,
    "unCLIPCheckpointLoader": 6.5,
    "ImageOnlyCheckpointLoader": 9.0,
    "UNETLoader": 12.0,
    "UnetLoaderGGUF": 7.0,
    "DiffusersLoader": 6.5,
    "VAELoader": 0.3,
}
_TEXT_ENCODER_GIB = 4.5

UNKNOWN = int(6.5 * GIB)
"""Bytes that a file is taken for when nothing is known of it."""


def files_of(lane: str) -> frozenset[str]:
    """The model files of a lane (`requirements.lane_of`); none for a graph without models."""
    return frozenset(lane.split("|")) if lane else frozenset()


def sizes_of(graph: Mapping[str, Any]) -> dict[str, int]:
    """The files of this (parsed) graph's lane with their estimated bytes, by kind of loader."""
    return {
        value: int(_TYPICAL_GIB.get(node["class_type"], _TEXT_ENCODER_GIB) * GIB)
        for node in graph.values()
        for name in LANE.get(node["class_type"], ())
        if isinstance(value := node["inputs"].get(name), str)
    }


class Warmth:
    """What one server holds. `vram` in bytes; 0, not known: the models of the last job alone."""

    def __init__(self, vram: int, served: Mapping[str, int] | None = None) -> None:
        self._room = int(vram * USABLE)
        self._served = dict(served or {})
        self._files: OrderedDict[str, int] = OrderedDict()
        self._lanes: set[str] = set()

    def serve(self, sizes: Mapping[str, int]) -> None:
        """The server tells how large its files are (bytes by name); that goes before any estimate."""
        self._served.update(sizes)

    def ran(self, lane: str, sizes: Mapping[str, int] | None = None) -> None:
        """A job of this lane ran, or is about to: its models are loaded now. `sizes` as `sizes_of` gives them."""
        files = files_of(lane)
        if not files:
            return
        for name in sorted(files):
            self._files[name] = self._served.get(name) or (sizes or {}).get(name) or UNKNOWN
            self._files.move_to_end(name)
        while len(self._files) > len(files) and sum(self._files.values()) > self._room:
            self._files.popitem(last=False)
        self._lanes = {known for known in self._lanes | {lane} if self.has(known)}

    def has(self, lane: str) -> bool:
        """Whether a job of this lane would begin without loading; one without models does everywhere."""
        return files_of(lane) <= self._files.keys()

    def lanes(self) -> frozenset[str]:
        """The lanes whose models are all loaded, of those that ran here."""
        return frozenset(self._lanes)

    def forget(self) -> None:
        """All models are gone: freed, the server restarted, or its memory was full."""
        self._files.clear()
        self._lanes.clear()
