"""What the packs of one server add to the editor is asked of the server itself, when its nodes are known already.

Processes that serve clients fetch the files of packs themselves. Those of a server that only one dispatcher can
reach come along here, as far as they are named and not too large.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import structlog

from atelier.comfy.catalog import as_object
from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.fleet.pages import Pages, files_named, told

LARGEST = 8 * 1024 * 1024
"""Bytes of what a server says on one of the routes that only the editor asks, and of all files that come along."""

LARGEST_FILE = 1024 * 1024
MOST_SUBGRAPHS = 200
"""Each is asked for on its own."""

MOST_FILES = 500

_log = structlog.get_logger(__name__)


async def leaf_through(client: ComfyClient, seconds: float, *, with_files: bool) -> Pages | None:
    """Ask one server, for that many seconds at most. None: it did not tell in time."""
    try:
        async with asyncio.timeout(seconds):
            return await _pages(client, with_files=with_files)
    except (ComfyError, TimeoutError) as error:
        _log.info("server.pages_not_told", reason=str(error) or "it takes too long")
        return None


async def _pages(client: ComfyClient, *, with_files: bool) -> Pages:
    """Routes that it is too old for add nothing."""
    said = {
        "extensions": await client.page("extensions", limit=LARGEST),
        "translations": await client.page("i18n", limit=LARGEST),
        "templates": await client.page("workflow_templates", limit=LARGEST),
        "subgraphs": await _subgraphs(client),
        "replacements": await client.page("node_replacements", limit=LARGEST),
    }
    pages = await asyncio.to_thread(told, **said)
    if not with_files:
        return pages
    files = await _files(client, files_named(pages))
    return await asyncio.to_thread(told, **said, files=files)


async def _subgraphs(client: ComfyClient) -> Mapping[str, Any]:
    """The list has none of their data (contract, section 2)."""
    listed = as_object(await client.page("global_subgraphs", limit=LARGEST)) or {}
    room, found = LARGEST, dict[str, Any]()
    for name in list(listed)[:MOST_SUBGRAPHS]:
        one = as_object(await client.page("global_subgraphs", name, limit=room))
        if one is not None:
            found[name] = one
            room = max(0, room - len(str(one)))
    return found


async def _files(client: ComfyClient, paths: Iterable[str]) -> Mapping[str, str]:
    room, found = LARGEST, dict[str, str]()
    for path in list(paths)[:MOST_FILES]:
        parts = unquote(path).strip("/").split("/")
        text = await client.text(*parts, limit=min(room, LARGEST_FILE))
        if text is not None:
            found[unquote(path)] = text
            room -= len(text.encode())
    return found
