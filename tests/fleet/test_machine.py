"""What a server says of itself is read from servers of all ages."""

from typing import Any

import pytest

from atelier.fleet.inventory import from_object_info
from atelier.fleet.machine import machine_of, packs, vram_total

GIB = 1024**3


def stats(**device: Any) -> dict[str, Any]:
    return {
        "system": {
            "os": "posix",
            "ram_total": 64 * GIB,
            "comfyui_version": "0.3.64",
            "python_version": "3.11.7 (main, May  9 2026) [GCC 12.2.0]",
            "pytorch_version": "2.8.0+cu128",
        },
        "devices": [
            {
                "name": "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync",
                "type": "cuda",
                "index": 0,
                "vram_total": 24 * GIB,
                "vram_free": 20 * GIB,
                **device,
            }
        ],
    }


def test_a_machine_has_versions_a_gpu_and_memory() -> None:
    machine = machine_of(stats())

    assert (machine.comfyui_version, machine.python_version) == ("0.3.64", "3.11.7")
    assert (machine.pytorch_version, machine.system) == ("2.8.0+cu128", "posix")
    assert (machine.gpu, machine.vram_total, machine.vram_free) == ("NVIDIA GeForce RTX 4090", 24 * GIB, 20 * GIB)
    assert machine.ram_total == 64 * GIB
    assert vram_total(stats()) == 24 * GIB


@pytest.mark.parametrize(
    ("name", "kind", "shown"),
    [
        ("cpu", "cpu", "cpu"),
        ("mps", "mps", "mps"),
        ("xpu:0 Intel(R) Arc(TM) A770", "xpu", "Intel(R) Arc(TM) A770"),
        ("NVIDIA H100", "cuda", "NVIDIA H100"),
        ("SIMULATED (no GPU, pictures are drawn)", "cuda", "SIMULATED (no GPU, pictures are drawn)"),
    ],
)
def test_a_gpu_is_named_as_people_name_it(name: str, kind: str, shown: str) -> None:
    assert machine_of(stats(name=name, type=kind)).gpu == shown


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"system": None, "devices": None},
        {"system": [], "devices": {}},
        {"system": {"comfyui_version": 3}, "devices": [None, "x", {"vram_total": "much", "name": None}]},
    ],
)
def test_what_a_server_does_not_say_is_empty(odd: dict[str, Any]) -> None:
    machine = machine_of(odd)

    assert (machine.comfyui_version, machine.gpu, machine.vram_total, machine.packs) == ("", "", 0, ())
    assert vram_total(odd) == 0


def test_packs_are_where_the_nodes_come_from() -> None:
    classes = {
        "KSampler": {"python_module": "nodes"},
        "ImageCrop": {"python_module": "comfy_extras.nodes_images"},
        "UnetLoaderGGUF": {"python_module": "custom_nodes.ComfyUI-GGUF"},
        "CLIPLoaderGGUF": {"python_module": "custom_nodes.ComfyUI-GGUF"},
        "Dotted": {"python_module": "custom_nodes.pack-1.2"},
        "Odd": {"python_module": None},
        "Older": {},
    }

    inventory = from_object_info(classes)

    assert packs(inventory) == ("ComfyUI-GGUF", "pack-1.2")
    assert machine_of(stats(), inventory).packs == ("ComfyUI-GGUF", "pack-1.2")
