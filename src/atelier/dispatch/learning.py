"""What one server can run is asked of the server itself: its nodes, its model files, its machine."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.fleet.inventory import NO_FILES, Files, Inventory, from_object_info

AT_ONCE = 4
"""Lists of nodes may be 20 MB each, and after a network's fault a hundred servers come back at once."""

NO_MODELS = frozenset({"configs", "custom_nodes"})
"""Folders that the old list of model folders names as well (the new one leaves them out)."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Learned:
    """`system` is /system_stats as it came; fleet.machine reads it."""

    inventory: Inventory
    system: Mapping[str, Any]


async def learn(client: ComfyClient, former: Inventory | None, seconds: float) -> Learned:
    """Ask one server; `seconds` for its nodes, and as long again for its files.

    Raises ComfyError or TimeoutError where it does not tell its nodes. Files that it does not tell in time (a
    network drive wakes up) are those of `former`.
    """
    async with asyncio.timeout(seconds):
        object_info = await client.object_info()
        system = await client.system_stats()
    files = await _files_or(former.files if former else NO_FILES, client, seconds)
    return Learned(await asyncio.to_thread(from_object_info, object_info, files), system)


async def _files_or(former: Files, client: ComfyClient, seconds: float) -> Files:
    try:
        async with asyncio.timeout(seconds):
            return await model_files(client)
    except (ComfyError, TimeoutError) as error:
        _log.info("server.files_not_told", reason=str(error) or "it takes too long")
        return former


async def model_files(client: ComfyClient) -> Files:
    """Model files by folder with their sizes; all 0 on servers that are older than /experiment/models."""
    sized = await client.sized_folders()
    if sized is not None:
        return {folder: files for folder in sized if (files := await client.sized_files(folder))}
    named = [folder for folder in await client.models() if folder not in NO_MODELS]
    return {folder: dict.fromkeys(names, 0) for folder in named if (names := await client.models_in(folder))}
