"""However large or strange a prompt is, the answer is a clear refusal of bearable size, and memory stays flat."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from atelier.comfy.graph import InvalidWorkflow
from atelier.intake.prompt_words import PromptRefused
from support.comfy_recordings import object_info
from support.door import Door
from support.graphs import picture

NODES = object_info()
MEGABYTE = 1_000_000
LONGEST_ANSWER = 2 * MEGABYTE
"""Bytes; a hundred faulty nodes, each told with its inputs."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def saves(count: int, **inputs: Any) -> dict[str, Any]:
    """So many output nodes, each wrong in the same way."""
    node = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x", **inputs}}
    return {**picture(), **{f"s{number}": node for number in range(count)}}


def tangle(nodes: int, links: int) -> dict[str, Any]:
    """Every node feeds many of those behind it."""
    graph = picture()
    for number in range(nodes):
        inputs = {f"i{place}": [f"n{number - place - 1}", 0] for place in range(min(links, number))}
        graph[f"n{number}"] = {"class_type": "ImageInvert", "inputs": inputs}
    return graph


LARGE: dict[str, Callable[[], Any]] = {
    "100,000 nodes": lambda: saves(100_000),
    "a text of more than a million characters": lambda: picture(width="x" * (MEGABYTE + 1)),  # type: ignore[arg-type]
    "a million characters for a number": lambda: picture(width="x" * MEGABYTE),  # type: ignore[arg-type]
    "a million digits for a number": lambda: picture(width="9" * MEGABYTE),  # type: ignore[arg-type]
    "a million characters in a class": lambda: {"1": {"class_type": "A" * MEGABYTE, "inputs": {}}},
    "a million characters in a node's id": lambda: {"n" * MEGABYTE: {"class_type": "A", "inputs": {}}},
    "a million characters in an input's name": lambda: {
        **picture(),
        "9": {"class_type": "EmptyImage", "inputs": {"n" * MEGABYTE: ["gone", 0]}},
    },
    "a million characters in a link": lambda: {
        "2": {"class_type": "SaveImage", "inputs": {"images": ["n" * MEGABYTE, 0], "filename_prefix": "x"}}
    },
    "a million characters in a file's name": lambda: {
        **picture(),
        "9": {"class_type": "LoadImage", "inputs": {"image": "x" * (MEGABYTE - 20) + " [output]"}},
    },
    "deep nesting": lambda: picture(width=nested(500)),
    "a million values": lambda: picture(width=[0] * MEGABYTE),  # type: ignore[arg-type]
    "thousands of faulty outputs": lambda: {**saves(5000, images=["1", 7]), "2": picture()["1"]},
    "a chain of thousands": lambda: {
        **picture(),
        **{
            f"c{n}": {"class_type": "ImageInvert", "inputs": {"image": [f"c{n - 1}" if n else "1", 0]}}
            for n in range(5000)
        },
    },
    "a tangle": lambda: tangle(3000, 90),
    "thousands of assets that are none": lambda: {
        "1": {"class_type": "LoadImage", "inputs": {"x" * 10_000: [{"__type": "core/ASSET"}] * 20_000}}
    },
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE.keys())
async def test_a_hostile_prompt_is_refused_in_few_words(door: Door, make: Callable[[], Any]) -> None:
    await door.knows(**NODES)
    before = await door.written()

    with pytest.raises((PromptRefused, InvalidWorkflow)) as refused:
        await door.prompt(make(), size=5 * MEGABYTE)

    assert len(json.dumps(refused.value.details)) < LONGEST_ANSWER
    assert len(refused.value.message) < 10_000
    assert refused.value.details is not None
    assert refused.value.details.keys() == {"error", "node_errors"}
    assert await door.written() == before


@pytest.mark.parametrize(
    "name", ["100,000 nodes", "a million characters for a number", "thousands of faulty outputs"]
)
async def test_hostile_prompts_leave_no_memory_behind(door: Door, name: str) -> None:
    await door.knows(**NODES)

    async def kept_after(times: int) -> int:
        for _ in range(times):
            with pytest.raises((PromptRefused, InvalidWorkflow)):
                await door.prompt(LARGE[name](), size=5 * MEGABYTE)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        once, often = await kept_after(2), await kept_after(4)
    finally:
        tracemalloc.stop()

    assert often - once < MEGABYTE


@pytest.mark.parametrize("size", [1, 5 * MEGABYTE], ids=["small", "large"])
async def test_a_large_good_prompt_is_accepted(door: Door, size: int) -> None:
    await door.knows(**NODES)

    done = await door.prompt(saves(3000), size=size)

    assert done.node_errors == {}
    assert await door.yard.value("SELECT cardinality(outputs) FROM native_prompts") == 3001
