"""Each message goes to the socket that its prompt names, or to all, in the order in which it was sent.

Addresses are ComfyUI's: the newest socket of a client id holds the address, and when any socket of that id closes
the address is gone, also for the newer one. Unlike the real server a slow reader holds up only itself.
"""

import asyncio
import json
import struct
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from atelier.comfy.catalog import as_object

PREVIEW_IMAGE = 1
TEXT = 3
PREVIEW_IMAGE_WITH_METADATA = 4
_FORMATS = {"image/jpeg": 1, "image/png": 2}

OUTBOX_LIMIT = 5_000
"""Messages that wait for one reader before its connection is cut."""

Message: TypeAlias = str | bytes


@dataclass(slots=True, eq=False)
class Socket:
    """One connection and what waits to be written to it."""

    sid: str
    ws: web.WebSocketResponse
    request: web.Request
    flags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    outbox: asyncio.Queue[Message] = field(default_factory=asyncio.Queue[Message])

    def put(self, message: Message) -> None:
        """Write it when the reader is ready; a reader that never is loses its connection."""
        if self.outbox.qsize() >= OUTBOX_LIMIT:
            self.abort()
        else:
            self.outbox.put_nowait(message)

    async def pump(self) -> None:
        """Write what waits, for ever; ends by being cancelled or by a connection that is gone."""
        while True:
            message = await self.outbox.get()
            if isinstance(message, str):
                await self.ws.send_str(message)
            else:
                await self.ws.send_bytes(message)

    def abort(self) -> None:
        """Cut the connection without a close frame: the other side sees 1006."""
        if self.request.transport is not None:
            self.request.transport.abort()


class Sockets:
    """The open sockets of one server. `send*` may be called from any thread once the loop is known."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Socket] = {}
        self._open: set[Socket] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Message, str | None]] = deque()
        self._woken = False
        self.executing: tuple[str, str] | None = None

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Where the sockets live; None once that loop is about to end."""
        self._loop = loop

    def open(self, socket: Socket) -> None:
        self._open.add(socket)
        self._by_sid[socket.sid] = socket

    def close(self, socket: Socket) -> None:
        self._open.discard(socket)
        self._by_sid.pop(socket.sid, None)

    def abort_all(self) -> None:
        for socket in list(self._open):
            socket.abort()

    def count(self) -> int:
        return len(self._open)

    def executing_for(self, sid: str) -> str | None:
        """The node that runs now, if it runs for that address: what a socket that comes back is told."""
        now = self.executing
        return now[1] if now is not None and now[0] == sid else None

    def wants_metadata(self, sid: str | None) -> bool:
        """Whether previews for `sid` go with metadata: its first message said so."""
        socket = None if sid is None else self._by_sid.get(sid)
        return socket is not None and bool(socket.flags.get("supports_preview_metadata"))

    def send(self, kind: str, data: Mapping[str, Any], sid: str | None) -> None:
        """A JSON message to `sid`, to everybody if None. Unknown addresses drop it."""
        self._post(encode(kind, data), sid)

    def send_preview(self, image: bytes, mime: str, metadata: Mapping[str, Any], sid: str | None) -> None:
        """A type 4 frame to a socket that asked for metadata, else type 1."""
        if self.wants_metadata(sid):
            head = json.dumps({**metadata, "image_type": mime}).encode()
            frame = struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(head)) + head + image
        else:
            frame = struct.pack(">II", PREVIEW_IMAGE, _FORMATS[mime]) + image
        self._post(frame, sid)

    def send_text(self, text: str, node_id: str, sid: str | None) -> None:
        """A type 3 frame: progress in words."""
        node = node_id.encode()
        self._post(struct.pack(">II", TEXT, len(node)) + node + text.encode(), sid)

    def _post(self, message: Message, sid: str | None) -> None:
        with self._lock:
            self._waiting.append((message, sid))
            if self._woken or self._loop is None:
                return
            self._woken = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            batch = list(self._waiting)
            self._waiting.clear()
            self._woken = False
        for message, sid in batch:
            for socket in self._receivers(sid):
                socket.put(message)

    def _receivers(self, sid: str | None) -> list[Socket]:
        if sid is None:
            return list(self._by_sid.values())
        return [self._by_sid[sid]] if sid in self._by_sid else []


def encode(kind: str, data: Mapping[str, Any]) -> str:
    """The text frame: `type` first, as clients that look at the first bytes expect."""
    return json.dumps({"type": kind, "data": data})


@dataclass(frozen=True, slots=True)
class Said:
    """What a client's JSON message said: its flags, if it was about flags at all."""

    is_flags: bool
    flags: Mapping[str, Any]


def heard(text: str) -> Said | None:
    """What `text` says, or None if it is not JSON."""
    try:
        message = as_object(json.loads(text)) or {}
    except ValueError:
        return None
    return Said(message.get("type") == "feature_flags", as_object(message.get("data")) or {})
