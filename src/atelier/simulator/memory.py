"""Models fill a bounded VRAM and the least recently used leave first, so a swap costs time as in a real server."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

GIB = 1024**3
SWAP_SHARE = 0.35
"""A model that comes back from RAM costs about a third of its first load (recorded: 2.55 s against 7.2 s)."""

_TYPICAL_GB = {
    "checkpoints": 6.5,
    "diffusion_models": 12.0,
    "text_encoders": 4.5,
    "vae": 0.3,
    "loras": 0.2,
    "upscale_models": 0.1,
    "controlnet": 2.5,
    "clip_vision": 1.2,
    "ipadapter": 0.8,
    "ultralytics": 0.05,
    "rembg": 0.2,
    "liveportrait": 0.5,
}


def size_gb(folder: str, name: str) -> float:
    """A made-up but constant size of a model file in GiB, around what such files have."""
    spread = hashlib.sha256(f"{folder}/{name}".encode()).digest()[0] / 255.0
    return round(_TYPICAL_GB.get(folder, 1.0) * (0.75 + 0.5 * spread), 3)


@dataclass(slots=True)
class ModelMemory:
    """What is loaded. Belongs to the worker thread; the event loop only reads sums."""

    vram_gb: float
    load_seconds: float
    load_seconds_per_gb: float
    _loaded: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict[tuple[str, str], float])
    _seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    loads: int = 0

    def need(self, folder: str, name: str) -> float:
        """Make the model resident; the seconds that this takes (0 when it was)."""
        key = (folder, name)
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return 0.0
        size = size_gb(folder, name)
        while self._loaded and self.used_gb() + size > self.vram_gb:
            self._loaded.popitem(last=False)
        self._loaded[key] = size
        self.loads += 1
        full = self.load_seconds + self.load_seconds_per_gb * size
        share = SWAP_SHARE if key in self._seen else 1.0
        self._seen.add(key)
        return full * share

    def unload_all(self) -> None:
        self._loaded.clear()

    def used_gb(self) -> float:
        return sum(self._loaded.values())

    def free_bytes(self) -> int:
        return max(0, int((self.vram_gb - self.used_gb()) * GIB))

    def resident(self) -> list[str]:
        """`folder/name` of each loaded model, least recently used first."""
        return [f"{folder}/{name}" for folder, name in self._loaded]
