"""A server works when it takes a file and runs a small graph of ours: disk, queue and GPU in one answer.

ImageBlur and ImageSharpen compute on the torch device (comfy_extras/nodes_post_processing.py of 0.3.64), so that a
GPU that has failed fails them; no model is loaded. Its prompt id is of no attempt: whoever looks for strays leaves
it alone. The colour changes, or the server would show what it has made before.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Collection
from typing import Any

from atelier.comfy.client import ComfyClient, Failed, HistoryEntry, Interrupted, Success
from atelier.comfy.errors import ComfyError, Unexpected, sort_failure
from atelier.kit.ids import new_uuid

FILE = "probe.txt"
FOLDER = "atelier"
LOOK_SECONDS = 0.25

_ON_THE_GPU: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ImageBlur", {"blur_radius": 1, "sigma": 1.0}),
    ("ImageSharpen", {"sharpen_radius": 1, "sigma": 1.0, "alpha": 1.0}),
)
_SHOWN_BY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PreviewImage", {}),
    ("SaveImage", {"filename_prefix": "atelier/probe"}),
)


def probe_graph(classes: Collection[str], color: int) -> dict[str, Any] | None:
    """A graph of core nodes that a server with these classes can run; None when it has too few of them."""
    shown_by = next((node for node in _SHOWN_BY if node[0] in classes), None)
    if "EmptyImage" not in classes or shown_by is None:
        return None
    graph: dict[str, Any] = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color}}
    }
    last = "1"
    for name, inputs in [node for node in _ON_THE_GPU if node[0] in classes][:1]:
        graph["2"] = {"class_type": name, "inputs": {"image": ["1", 0], **inputs}}
        last = "2"
    graph["3"] = {"class_type": shown_by[0], "inputs": {"images": [last, 0], **shown_by[1]}}
    return graph


async def probe(client: ComfyClient, classes: Collection[str], seconds: float, *, after: str = "") -> str:
    """Why this server does not work, in words; empty when it does. Takes about `seconds` at most.

    `after`: a prompt of a process that cannot work again. A server that remembers it was not started anew.
    """
    try:
        async with asyncio.timeout(seconds):
            if after and await client.history(after) is not None:
                return "the process whose GPU failed still runs: start ComfyUI anew"
            if reason := await cannot_store(client):
                return reason
            return await _run(client, classes)
    except ComfyError as error:
        return str(error) or type(error).__name__
    except TimeoutError:
        return f"the probe did not end within {seconds:g} s"


async def cannot_store(client: ComfyClient) -> str:
    """Why the server takes no file; empty when it does. Raises LostServer."""
    try:
        await client.upload(FILE, b"probe", content_type="text/plain", subfolder=FOLDER, overwrite=True)
    except Unexpected as error:
        return f"it stores no file: {error}"
    return ""


async def _run(client: ComfyClient, classes: Collection[str]) -> str:
    graph = probe_graph(classes, secrets.randbelow(2**24))
    if graph is None:
        return ""
    prompt_id = str(new_uuid())
    try:
        await client.submit(graph, prompt_id=prompt_id, client_id=f"probe-{prompt_id}")
        while (entry := await client.history(prompt_id)) is None:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(LOOK_SECONDS)
    except (ComfyError, asyncio.CancelledError):
        await _take_back(client, prompt_id)
        raise
    return _judged(entry)


async def _take_back(client: ComfyClient, prompt_id: str) -> None:
    """Else each probe of a queue that stands still would wait in it."""
    with contextlib.suppress(ComfyError, TimeoutError):
        async with asyncio.timeout(2.0):
            await client.delete([prompt_id])
            await client.interrupt(prompt_id)


def _judged(entry: HistoryEntry) -> str:
    match entry.verdict:
        case Success():
            return ""
        case Interrupted():
            return "the probe was interrupted"
        case Failed(data):
            failure = sort_failure(data)
            return f"the probe failed: {failure.exception_type}: {failure.message}"[:300]
