"""Outputs leave the server at once: streamed into storage, hashed on the way, named as their node named them."""

import mimetypes
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.assets import service as assets
from atelier.assets.model import Received
from atelier.comfy.client import ComfyClient, Download, HistoryEntry, OutputItem
from atelier.comfy.messages import Preview
from atelier.comfy.output_names import shown_folder
from atelier.comfy.rewriting import folder_of
from atelier.jobs.model import Made, OutputKind
from atelier.kit.database import Database
from atelier.kit.ids import AssetId, new_uuid
from atelier.storage.model import Storage

_BY_TYPE = {
    "image": OutputKind.IMAGE,
    "video": OutputKind.VIDEO,
    "audio": OutputKind.AUDIO,
    "text": OutputKind.TEXT,
}
_LATENT_SUFFIX = ".latent"

SMALL = 4 * 1024 * 1024
"""Files up to this many bytes are held in memory on their way."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where outputs go: at most `limit` bytes each."""

    database: Database
    storage: Storage
    limit: int

    async def put(self, download: Download) -> Received:
        """What is small comes whole and is stored with one write; the rest is streamed."""
        if download.size is None or download.size > SMALL:
            return await assets.receive(self.database, self.storage, download.chunks, limit_bytes=self.limit)
        return await self.put_bytes(b"".join([chunk async for chunk in download.chunks]))

    async def put_bytes(self, content: bytes) -> Received:
        return await assets.receive_bytes(self.database, self.storage, content, limit_bytes=self.limit)


async def collect(client: ComfyClient, shelf: Shelf, entry: HistoryEntry, frames: Sequence[Preview]) -> list[Made]:
    """Store everything that this run made. Raises FileGone, LostServer, TooLarge, StorageUnavailable."""
    made = [await _one(client, shelf, item) for item in entry.outputs if item.type != "input"]
    numbers = Counter[str]()
    for frame in frames:
        numbers[frame.node_id or ""] += 1
        made.append(await _frame(shelf, frame, numbers[frame.node_id or ""]))
    return made


async def _one(client: ComfyClient, shelf: Shelf, item: OutputItem) -> Made:
    if item.text is not None:
        received = await shelf.put_bytes(item.text.encode())
        return _made(item.node_id, f"{item.node_id}_{item.ordinal}.txt", "text/plain", received)
    name = item.filename or "output"
    async with client.view(item) as download:
        received = await shelf.put(download)
        content_type = _content_type(name, download.content_type, received.content_type)
    subfolder = shown_folder(item.subfolder, folder_of(item.subfolder))
    return _made(item.node_id, name, content_type, received, temporary=item.type == "temp", subfolder=subfolder)


async def _frame(shelf: Shelf, frame: Preview, number: int) -> Made:
    """A result of SaveImageWebsocket: it exists only as a frame of the socket (behaviour 13)."""
    received = await shelf.put_bytes(frame.image)
    suffix = mimetypes.guess_extension(frame.content_type) or ".png"
    node_id = frame.node_id or ""
    return _made(node_id, f"websocket_{node_id}_{number:05}_{suffix}", frame.content_type, received)


def _made(
    node_id: str, name: str, content_type: str, received: Received, *, temporary: bool = False, subfolder: str = ""
) -> Made:
    return Made(
        id=AssetId(new_uuid()),
        node_id=node_id,
        name=name,
        kind=_kind(name, content_type),
        content_type=content_type,
        size=received.blob.size,
        hash=received.blob.hash,
        temporary=temporary,
        subfolder=subfolder,
    )


def _content_type(name: str, told: str, sniffed: str) -> str:
    """The bytes decide; where they say nothing, the name; then the server."""
    vague = {"", "application/octet-stream"}
    guesses = (sniffed, mimetypes.guess_type(name)[0] or "", told)
    return next((guess for guess in guesses if guess not in vague), "application/octet-stream")


def _kind(name: str, content_type: str) -> OutputKind:
    if name.endswith(_LATENT_SUFFIX):
        return OutputKind.LATENT
    return _BY_TYPE.get(content_type.partition("/")[0], OutputKind.FILE)


def saves_to_socket(graph: Mapping[str, Any]) -> frozenset[str]:
    """The nodes whose pictures come only as frames of the socket."""
    return frozenset(name for name, node in graph.items() if node["class_type"] == "SaveImageWebsocket")
