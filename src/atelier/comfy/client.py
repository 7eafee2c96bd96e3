"""The HTTP side of ONE ComfyUI server: typed questions and answers, each bounded, each failure sorted."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiohttp

from atelier.comfy.errors import FileGone, Rejected, Unexpected
from atelier.comfy.replies import (
    Failed,
    HistoryEntry,
    Interrupted,
    OutputItem,
    QueueItem,
    QueueSnapshot,
    Success,
    Verdict,
    as_object,
    parse_history,
    parse_queue,
)
from atelier.comfy.uploads import Part, UploadedFile, parse_upload
from atelier.comfy.wire import DEFAULT_TIMEOUTS, NO_HEADERS, Reply, Timeouts, Wire, sorted_failures

__all__ = [
    "ComfyClient",
    "Download",
    "Failed",
    "HistoryEntry",
    "Interrupted",
    "OutputItem",
    "QueueItem",
    "QueueSnapshot",
    "Submitted",
    "Success",
    "Timeouts",
    "UploadedFile",
    "Verdict",
]

CHUNK = 256 * 1024
_NO_DATA: Mapping[str, Any] = NO_HEADERS


@dataclass(frozen=True, slots=True)
class Submitted:
    """The server took the prompt. `node_errors` is not empty when it dropped some outputs (behaviour 19).

    `prompt_id` is the server's: one that differs from ours means a server too old to be given ids.
    """

    prompt_id: str
    number: float
    node_errors: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way: read `chunks` once, inside the context. `size` in bytes where the server says it."""

    content_type: str
    size: int | None
    chunks: AsyncIterator[bytes]


class ComfyClient:
    """Every method raises LostServer, Unexpected, and where it says so Rejected or FileGone; nothing else."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._wire = Wire(session, url, headers, timeouts)

    async def submit(
        self,
        graph: Mapping[str, Any],
        *,
        prompt_id: str,
        client_id: str,
        extra_data: Mapping[str, Any] = _NO_DATA,
        number: float | None = None,
        targets: Sequence[str] | None = None,
    ) -> Submitted:
        """Enqueue a graph under our id, run for `targets` alone where they are given.

        Raises Rejected; after LostServer or Unexpected it may be queued.
        """
        body: dict[str, Any] = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": dict(extra_data),
        }
        if number is not None:
            body["number"] = number
        if targets is not None:
            body["partial_execution_targets"] = list(targets)
        reply = await self._wire.json("POST", "prompt", body=body)
        return _submitted(reply)

    async def queue(self) -> QueueSnapshot:
        reply = await self._wire.json("GET", "queue")
        snapshot = parse_queue(_ok(reply).document())
        if snapshot is None:
            raise reply.unexpected()
        return snapshot

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """The finished run, or None: unknown, queued and running look the same here (behaviour 22)."""
        reply = await self._wire.json("GET", "history", prompt_id)
        entries = _object(reply)
        if prompt_id not in entries:
            return None
        entry = parse_history(prompt_id, entries[prompt_id])
        if entry is None:
            raise reply.unexpected()
        return entry

    @contextlib.asynccontextmanager
    async def view(self, item: OutputItem) -> AsyncGenerator[Download]:
        """Stream one output file. Raises FileGone when the server no longer has it."""
        query = {"filename": item.filename or "", "subfolder": item.subfolder, "type": item.type}
        async with self._wire.stream("view", query=query) as response:
            if response.status == 404:
                raise FileGone(f"the server no longer has {item.subfolder}/{item.filename} ({item.type})")
            if response.status != 200:
                raise Unexpected(response.status, await _start(response))
            yield Download(response.content_type, response.content_length, _chunks(response))

    async def upload(
        self,
        name: str,
        content: bytes | AsyncIterator[bytes],
        *,
        content_type: str,
        subfolder: str = "",
        kind: str = "input",
        overwrite: bool = False,
    ) -> UploadedFile:
        """Place a file on the server. Same name and content give the same file; other content a new name."""
        part = Part(
            name, content, content_type, {"subfolder": subfolder, "type": kind, "overwrite": _flag(overwrite)}
        )
        reply = await self._wire.send_file("upload", "image", part=part)
        uploaded = parse_upload(_object(reply))
        if uploaded is None:
            raise reply.unexpected()
        return uploaded

    async def interrupt(self, prompt_id: str) -> None:
        """Stop this prompt if it runs right now; anything else is left alone."""
        _ok(await self._wire.json("POST", "interrupt", body={"prompt_id": prompt_id}))

    async def delete(self, prompt_ids: Iterable[str]) -> None:
        """Take prompts out of the queue. A running one, and one that is not there, are left as they are."""
        _ok(await self._wire.json("POST", "queue", body={"delete": list(prompt_ids)}))

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Ask for memory back; the server acts between two prompts."""
        body = {"unload_models": unload_models, "free_memory": free_memory}
        _ok(await self._wire.json("POST", "free", body=body))

    async def object_info(self) -> dict[str, Any]:
        """Read in a thread: it is 20 MB on servers with many nodes and models, a second of work."""
        return await asyncio.to_thread(_object, await self._wire.json("GET", "object_info"))

    async def system_stats(self) -> dict[str, Any]:
        return _object(await self._wire.json("GET", "system_stats"))

    async def models(self) -> list[str]:
        """The names of the model folders."""
        return _names(await self._wire.json("GET", "models"))

    async def models_in(self, folder: str) -> list[str] | None:
        """The files of one folder, relative, with the separators of the server's system; None: no such folder."""
        reply = await self._wire.json("GET", "models", folder)
        return None if reply.status == 404 else _names(reply)

    async def sized_folders(self) -> list[str] | None:
        """The model folders whose files have sizes; None: this server tells none."""
        reply = await self._wire.json("GET", "experiment", "models")
        if reply.status == 404:
            return None
        return [str(one["name"]) for one in _objects(reply) if "name" in one]

    async def sized_files(self, folder: str) -> dict[str, int] | None:
        """Bytes of each file of one model folder, by its name as loaders show it; None: no such folder.

        Of one name that lies in several places of the folder, ComfyUI loads the first (folder_paths.py).
        """
        reply = await self._wire.json("GET", "experiment", "models", folder)
        return None if reply.status == 404 else _sizes(_objects(reply))

    async def page(self, *path: str, limit: int) -> Any:
        """The JSON of a route that not every server has; None where it has none of at most `limit` bytes."""
        try:
            reply = await self._wire.json("GET", *path)
            fits = reply.status == 200 and len(reply.body) <= limit
            return await asyncio.to_thread(reply.document) if fits else None
        except Unexpected:
            return None

    async def text(self, *path: str, limit: int) -> str | None:
        """A small file that not every server has, as text; None where it has none of at most `limit` bytes."""
        try:
            reply = await self._wire.json("GET", *path)
            return reply.body.decode() if reply.status == 200 and len(reply.body) <= limit else None
        except (Unexpected, UnicodeDecodeError):
            return None

    async def size_of(self, file: UploadedFile) -> int | None:
        """Bytes of a file that the server has; -1 when it does not say how many; None: it does not have it."""
        query = {"filename": file.name, "subfolder": file.subfolder, "type": file.type}
        status, length = await self._wire.head("view", query=query)
        if status == 404:
            return None
        if status != 200:
            raise Unexpected(status, "")
        return -1 if length is None else length


def _flag(value: object) -> str:
    return "true" if value else "false"


def _submitted(reply: Reply) -> Submitted:
    if reply.status == 400:
        raise _rejection(reply)
    match _object(reply):
        case {"prompt_id": str() as prompt_id, "number": int() | float() as number, **rest}:
            return Submitted(prompt_id, number, as_object(rest.get("node_errors")))
        case _:
            raise reply.unexpected()


def _rejection(reply: Reply) -> Rejected | Unexpected:
    """Rejected for ComfyUI's own 400; a proxy's 400 is only unexpected."""
    document = as_object(reply.document())
    error: object = document.get("error")
    if isinstance(error, str):
        error = {"type": "invalid_prompt", "message": error, "details": "", "extra_info": {}}
    if not isinstance(error, dict):
        return reply.unexpected()
    return Rejected(cast("dict[str, Any]", error), as_object(document.get("node_errors")))


def _ok(reply: Reply) -> Reply:
    if reply.status != 200:
        raise reply.unexpected()
    return reply


def _object(reply: Reply) -> dict[str, Any]:
    document = _ok(reply).document()
    if not isinstance(document, dict):
        raise reply.unexpected()
    return cast("dict[str, Any]", document)


def _names(reply: Reply) -> list[str]:
    document = _ok(reply).document()
    if not isinstance(document, list):
        raise reply.unexpected()
    return [str(name) for name in cast("list[object]", document)]


def _objects(reply: Reply) -> list[Mapping[str, Any]]:
    document = _ok(reply).document()
    if not isinstance(document, list):
        raise reply.unexpected()
    return [one for one in map(as_object, cast("list[object]", document)) if one]


def _sizes(files: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for file in files:
        size = file.get("size")
        sizes.setdefault(str(file.get("name", "")), size if isinstance(size, int) and size > 0 else 0)
    return sizes


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    with sorted_failures():
        async for chunk in response.content.iter_chunked(CHUNK):
            yield chunk


async def _start(response: aiohttp.ClientResponse) -> str:
    return (await response.content.read(2000)).decode("utf-8", "replace")
