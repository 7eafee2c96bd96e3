"""Files of servers are kept while there is room, seen anew after a while, and outlive a server that is down."""

import asyncio
import contextlib
import dataclasses
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from atelier.dialects.comfyui.reach import Fetched, Reach
from atelier.fleet.model import Server
from atelier.kit import clock
from atelier.kit.ids import ServerId

ROOM = 64 * 1024 * 1024
MOST = 20_000
FRESH_SECONDS = 60.0
TRIED = 3
"""Servers that one request may wait for."""

NOT_THERE = 404
FAULTY = 500
"""A server that fails says nothing about what is there."""
Key = tuple[str, str, str]
"""Whose path it is, the path, the query."""

_VALIDATORS = (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since"))


@dataclass(frozen=True, slots=True)
class Copy:
    """What a server answered: 200 with a body, or 404. `at`: when it was last seen, on the monotonic clock."""

    server_id: ServerId
    at: float
    status: int = NOT_THERE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = field(default=b"", repr=False)


class Copies:
    """In memory, in one process; what was not asked for longest goes first."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._kept: OrderedDict[Key, Copy] = OrderedDict()
        self._asking: dict[Key, tuple[asyncio.Lock, int]] = {}
        self._size = 0

    async def latest(
        self, reach: Reach, servers: Sequence[Server], path: str, *, query: str = "", of: str = ""
    ) -> Copy | None:
        """The answer of the first of these servers that gives one to GET `path` (not encoded; `query` is).

        A minute old at most while one of them answers; else as it was last seen. None where it never was. `of`:
        whose path it is, where servers have different things there.
        """
        key = (of, path, query)
        if (kept := self._fresh(key)) is not None:
            return kept
        async with self._asked_once(key):
            if (kept := self._fresh(key)) is not None:
                return kept
            kept = self._kept.get(key)
            for server in servers[:TRIED]:
                same = kept if kept is not None and kept.server_id == server.id else None
                fetched = await reach.fetch(server, path, query=query, headers=_unless_the_same(same))
                if fetched is not None and fetched.status < FAULTY:
                    return self._keep(key, _copy(server, fetched, same))
            return kept

    def _fresh(self, key: Key) -> Copy | None:
        kept = self._kept.get(key)
        if kept is None or clock.monotonic() - kept.at >= FRESH_SECONDS:
            return None
        self._kept.move_to_end(key)
        return kept

    @contextlib.asynccontextmanager
    async def _asked_once(self, key: Key) -> AsyncGenerator[None]:
        """An editor asks for the pictures of all models at once, and others open theirs at the same time."""
        lock, waiting = self._asking.get(key, (asyncio.Lock(), 0))
        self._asking[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            _, waiting = self._asking[key]
            self._asking[key] = (lock, waiting - 1)
            if waiting == 1:
                del self._asking[key]

    def _keep(self, key: Key, copy: Copy) -> Copy:
        former = self._kept.pop(key, None)
        self._size += len(copy.body) - (len(former.body) if former else 0)
        self._kept[key] = copy
        while self._size > self._room or len(self._kept) > MOST:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.body)
        return copy


def _copy(server: Server, fetched: Fetched, kept: Copy | None) -> Copy:
    match fetched.status:
        case 304 if kept is not None:
            return dataclasses.replace(kept, at=clock.monotonic())
        case 200:
            return Copy(server.id, clock.monotonic(), 200, fetched.headers, fetched.body)
        case _:
            return Copy(server.id, clock.monotonic())


def _unless_the_same(kept: Copy | None) -> Mapping[str, str]:
    if kept is None:
        return {}
    return {asked: kept.headers[told] for told, asked in _VALIDATORS if told in kept.headers}
