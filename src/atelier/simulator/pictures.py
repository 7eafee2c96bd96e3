"""A picture keeps ComfyUI's float values: eight bits in the image, and the float that each of them stands for.

ComfyUI computes in float32 and cuts off when it saves, so 1 - x is not 255 - byte for every byte. A table of the
256 floats carries any chain of per-pixel operations exactly; only operations between pixels fall back to bytes.
"""

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

Table: TypeAlias = tuple[float, ...]


def float32(value: float) -> float:
    """`value` as a GPU or numpy would hold it."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


BYTES: Table = tuple(float32(byte / 255.0) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a batch (mode RGB or RGBA), or one mask (mode L). `table[byte]` is the value in 0..1."""

    image: Image.Image
    table: Table = BYTES

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    def mapped(self, change: Callable[[float], float]) -> "Picture":
        """Each value through `change`, in float32."""
        return Picture(self.image, tuple(float32(change(value)) for value in self.table))

    def saved(self) -> Image.Image:
        """The bytes that SaveImage would write: 255 x value, cut off."""
        if self.table is BYTES:
            return self.image
        return looked_up(self.image, list(_cut_off(self.table)) * len(self.image.getbands()))

    def settled(self) -> "Picture":
        """The same with plain bytes, before pixels are mixed with others."""
        return Picture(self.saved())


def resized(
    image: Image.Image, size: tuple[int, int], how: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    return image.resize(size, how)


def looked_up(image: Image.Image, table: list[int], mode: str | None = None) -> Image.Image:
    """Each byte through `table` (256 entries for each band)."""
    return image.point(table, mode)


@functools.lru_cache(maxsize=64)
def _cut_off(table: Table) -> tuple[int, ...]:
    return tuple(max(0, min(255, int(float32(255.0 * value)))) for value in table)
