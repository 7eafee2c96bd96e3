"""What a server says that it is: its versions, its GPU and memory, the packs of nodes that it has.

Servers of all ages say it in /system_stats (contract, section 11); what one does not say is empty or 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import as_list, as_object
from atelier.fleet.inventory import Inventory

_PACK = "custom_nodes"


@dataclass(frozen=True, slots=True)
class Device:
    """One device that ComfyUI computes on. `kind` is PyTorch's (`cuda`, `mps`, `cpu`…); sizes in bytes."""

    name: str
    kind: str
    vram_total: int
    vram_free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One ComfyUI server's machine when it was last asked. The first device is the one that it works on."""

    comfyui_version: str
    python_version: str
    pytorch_version: str
    system: str
    ram_total: int
    devices: tuple[Device, ...]
    packs: tuple[str, ...]

    @property
    def gpu(self) -> str:
        """The name of its GPU, for people; empty when it is not known."""
        return self.devices[0].name if self.devices else ""

    @property
    def vram_total(self) -> int:
        """Bytes; 0 when it is not known."""
        return self.devices[0].vram_total if self.devices else 0

    @property
    def vram_free(self) -> int:
        """Bytes that were free when it was last asked; 0 when it is not known."""
        return self.devices[0].vram_free if self.devices else 0


def machine_of(stats: Mapping[str, Any], inventory: Inventory | None = None) -> Machine:
    """The machine behind /system_stats (`Server.system`); whatever is missing or odd there is left empty."""
    system = as_object(stats.get("system")) or {}
    return Machine(
        comfyui_version=_text(system.get("comfyui_version")),
        python_version=_text(system.get("python_version")).partition(" ")[0],
        pytorch_version=_text(system.get("pytorch_version")),
        system=_text(system.get("os")),
        ram_total=_bytes(system.get("ram_total")),
        devices=tuple(_device(one) for one in map(as_object, as_list(stats.get("devices")) or ()) if one),
        packs=packs(inventory) if inventory else (),
    )


def vram_total(stats: Mapping[str, Any]) -> int:
    """The same as `machine_of(stats).vram_total`, quick enough to be asked at every look at a server."""
    match stats.get("devices"):
        case [{"vram_total": total}, *_]:
            return _bytes(total)
        case _:
            return 0


def packs(inventory: Inventory) -> tuple[str, ...]:
    """The custom node packs of a server, sorted: folders below ComfyUI's custom_nodes that its nodes are from."""
    return tuple(sorted(set(_packs(inventory.classes))))


def _packs(classes: Mapping[str, Any]) -> Iterator[str]:
    """A pack's folder may have dots in its name; `python_module` is custom_nodes.<folder>, whatever is below."""
    for entry in classes.values():
        place, _, pack = _text((as_object(entry) or {}).get("python_module")).partition(".")
        if place == _PACK and pack:
            yield pack


def _device(device: Mapping[str, Any]) -> Device:
    kind = _text(device.get("type"))
    return Device(
        name=_plain_name(_text(device.get("name")), kind),
        kind=kind,
        vram_total=_bytes(device.get("vram_total")),
        vram_free=_bytes(device.get("vram_free")),
    )


def _plain_name(name: str, kind: str) -> str:
    """`cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync` is an NVIDIA GeForce RTX 4090."""
    first, _, rest = name.partition(" ")
    named = rest if kind and first.partition(":")[0] == kind and rest else name
    return named.partition(" : ")[0].strip()


def _text(value: object) -> str:
    return value.replace("\0", "") if isinstance(value, str) else ""


def _bytes(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 2**60 else 0
