"""Outputs leave the server at once: streamed into storage, hashed on the way, named as their node named them."""

import contextlib
import mimetypes
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.assets import service as assets
from atelier.assets.model import Received
from atelier.assets.pictures.model import Delivery
from atelier.assets.spool import Spooled, hashed, spooled
from atelier.comfy.client import ComfyClient, Download, HistoryEntry, OutputItem
from atelier.comfy.messages import Preview
from atelier.comfy.output_names import shown_folder
from atelier.comfy.rewriting import folder_of
from atelier.dispatch.finishing import Finishing, concerns, delivery_of, renamed, results
from atelier.jobs.model import Made, OutputKind
from atelier.jobs.recipe import Finish
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
    finishing: Finishing

    async def put(self, download: Download) -> Received:
        """What is small comes whole and is stored with one write; the rest is streamed."""
        if download.size is None or download.size > SMALL:
            return await assets.receive(self.database, self.storage, download.chunks, limit_bytes=self.limit)
        return await self.put_bytes(b"".join([chunk async for chunk in download.chunks]))

    @contextlib.asynccontextmanager
    async def held(self, download: Download) -> AsyncGenerator[Spooled]:
        """All of it, here: in memory what is small, else in a file."""
        if download.size is None or download.size > min(SMALL, self.limit):
            async with spooled(self.storage.spool, download.chunks, self.limit) as body:
                yield body
        else:
            yield await hashed(b"".join([chunk async for chunk in download.chunks]))

    async def put_finished(self, body: Spooled, name: str, told: str, delivery: Delivery) -> "_Stored":
        """The file as it is delivered, or itself with a note where that cannot be."""
        finished = await self.finishing.finished(body, name, delivery)
        if finished.made is None:
            received = await assets.keep(self.database, self.storage, body)
        else:
            received = await self.put_bytes(finished.made.content)
        content_type = _content_type(name, told, received.content_type)
        return _Stored(received, renamed(name, finished.made), content_type, finished.note)

    async def put_bytes(self, content: bytes) -> Received:
        return await assets.receive_bytes(self.database, self.storage, content, limit_bytes=self.limit)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file that has its name, its type and its place in the storage."""

    received: Received
    name: str
    content_type: str
    note: str = ""


async def collect(
    client: ComfyClient,
    shelf: Shelf,
    entry: HistoryEntry,
    frames: Sequence[Preview],
    finish: Finish | None = None,
) -> list[Made]:
    """Store what this run made: everything, or what `finish` calls the result, as it wants it.

    Raises FileGone, LostServer, TooLarge, StorageUnavailable.
    """
    items, shown = [item for item in entry.outputs if item.type != "input"], list(frames)
    delivery = None
    if finish is not None:
        (items, shown), delivery = results(entry, frames, finish), delivery_of(finish)
    made = [await _one(client, shelf, item, delivery) for item in items]
    numbers = Counter[str]()
    for frame in shown:
        numbers[frame.node_id or ""] += 1
        made.append(await _frame(shelf, frame, numbers[frame.node_id or ""], delivery))
    return made


async def _one(client: ComfyClient, shelf: Shelf, item: OutputItem, delivery: Delivery | None) -> Made:
    if item.text is not None:
        received = await shelf.put_bytes(item.text.encode())
        return _made(item.node_id, _Stored(received, f"{item.node_id}_{item.ordinal}.txt", "text/plain"))
    name = item.filename or "output"
    async with client.view(item) as download:
        if delivery is not None and concerns(delivery, name, download.content_type):
            async with shelf.held(download) as body:
                stored = await shelf.put_finished(body, name, download.content_type, delivery)
        else:
            received = await shelf.put(download)
            stored = _Stored(received, name, _content_type(name, download.content_type, received.content_type))
    subfolder = shown_folder(item.subfolder, folder_of(item.subfolder))
    return _made(item.node_id, stored, temporary=item.type == "temp", subfolder=subfolder)


async def _frame(shelf: Shelf, frame: Preview, number: int, delivery: Delivery | None) -> Made:
    """A result of SaveImageWebsocket: it exists only as a frame of the socket (behaviour 13)."""
    suffix = mimetypes.guess_extension(frame.content_type) or ".png"
    node_id = frame.node_id or ""
    name = f"websocket_{node_id}_{number:05}_{suffix}"
    if delivery is not None and not delivery.untouched:
        stored = await shelf.put_finished(await hashed(frame.image), name, frame.content_type, delivery)
    else:
        stored = _Stored(await shelf.put_bytes(frame.image), name, frame.content_type)
    return _made(node_id, stored)


def _made(node_id: str, stored: _Stored, *, temporary: bool = False, subfolder: str = "") -> Made:
    return Made(
        id=AssetId(new_uuid()),
        node_id=node_id,
        name=stored.name,
        kind=_kind(stored.name, stored.content_type),
        content_type=stored.content_type,
        size=stored.received.blob.size,
        hash=stored.received.blob.hash,
        temporary=temporary,
        subfolder=subfolder,
        note=stored.note,
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
