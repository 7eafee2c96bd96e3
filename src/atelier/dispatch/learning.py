"""What one server can run is asked of the server itself: its nodes, its model files, its machine, its pages."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from atelier.comfy.catalog import as_object
from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.fleet.inventory import NO_FILES, Files, Inventory, from_object_info
from atelier.fleet.pages import Pages, told

AT_ONCE = 4
"""Lists of nodes may be 20 MB each, and after a network's fault a hundred servers come back at once."""

NO_MODELS = frozenset({"configs", "custom_nodes"})
"""Folders that the old list of model folders names as well (the new one leaves them out)."""

LARGEST_PAGE = 8 * 1024 * 1024
"""Bytes of what a server says on one of the routes that only the editor asks."""

MOST_SUBGRAPHS = 200
"""Each is asked for on its own."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Learned:
    """`system` is /system_stats as it came; fleet.machine reads it. `pages` None: it did not tell them in time."""

    inventory: Inventory
    system: Mapping[str, Any]
    pages: Pages | None = None


async def learn(client: ComfyClient, former: Inventory | None, seconds: float) -> Learned:
    """Ask one server; `seconds` for its nodes, as long again for its files, and again for its pages.

    Raises ComfyError or TimeoutError where it does not tell its nodes. Files that it does not tell in time (a
    network drive wakes up) are those of `former`.
    """
    async with asyncio.timeout(seconds):
        object_info = await client.object_info()
        system = await client.system_stats()
    files = await _files_or(former.files if former else NO_FILES, client, seconds)
    inventory = await asyncio.to_thread(from_object_info, object_info, files)
    return Learned(inventory, system, await _pages_or_none(client, seconds))


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


async def _pages_or_none(client: ComfyClient, seconds: float) -> Pages | None:
    try:
        async with asyncio.timeout(seconds):
            return await pages(client)
    except (ComfyError, TimeoutError) as error:
        _log.info("server.pages_not_told", reason=str(error) or "it takes too long")
        return None


async def pages(client: ComfyClient) -> Pages:
    """What its packs add to the editor; routes that it is too old for add nothing."""
    return await asyncio.to_thread(
        told,
        extensions=await client.page("extensions", limit=LARGEST_PAGE),
        translations=await client.page("i18n", limit=LARGEST_PAGE),
        templates=await client.page("workflow_templates", limit=LARGEST_PAGE),
        subgraphs=await _subgraphs(client),
        replacements=await client.page("node_replacements", limit=LARGEST_PAGE),
    )


async def _subgraphs(client: ComfyClient) -> Mapping[str, Any]:
    """The list has none of their data (contract, section 2)."""
    listed = as_object(await client.page("global_subgraphs", limit=LARGEST_PAGE)) or {}
    room, found = LARGEST_PAGE, dict[str, Any]()
    for name in list(listed)[:MOST_SUBGRAPHS]:
        one = as_object(await client.page("global_subgraphs", name, limit=room))
        if one is not None:
            found[name] = one
            room = max(0, room - len(str(one)))
    return found
