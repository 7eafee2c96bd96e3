"""What model nodes hand to one another: names and sizes, where a real server would hand on tensors."""

from dataclasses import dataclass

from atelier.simulator.drawing import Recipe
from atelier.simulator.nodes.call import Pictures
from atelier.simulator.pictures import Picture

PIXELS = 8
"""Pixels of one latent cell in each direction."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded file, by what it is used for, the LoRAs on it, and what else changed it (a reference picture)."""

    folder: str
    name: str
    loras: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    def title(self) -> str:
        return " + ".join((self.name, *self.loras, *self.marks))


@dataclass(frozen=True, slots=True)
class Conditioning:
    text: str


@dataclass(frozen=True, slots=True)
class Latent:
    """`size` in pixels. `recipe` once it was sampled; `base`: images it was encoded from; `mask`: what may change.

    `share` is how much of `base` the sampling replaced (denoise), 1 for everything. `frames` of one film each, 0
    for single pictures.
    """

    size: tuple[int, int]
    batch: int
    recipe: Recipe | None = None
    base: Pictures = ()
    mask: Picture | None = None
    share: float = 1.0
    frames: int = 0
