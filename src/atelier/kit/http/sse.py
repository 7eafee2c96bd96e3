"""A stream of server-sent events lives with its request and ends with its source, its client or the process."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator, Hashable
from contextlib import AbstractContextManager
from typing import ClassVar

from fastapi.sse import format_sse_event
from starlette.types import Receive

from atelier.kit.errors import Kind, Refusal
from atelier.kit.http.streamed import Emit, Source, Streamed, gone, until_first

KEEPALIVE = b": keepalive\n\n"


class TooManyStreams(Refusal):
    """So many streams are open already; close one, or poll."""

    kind: ClassVar[Kind] = Kind.BUSY
    code: ClassVar[str] = "too_many_streams"


def encode(event: str, data: str, named: str | None = None) -> bytes:
    """One event on the wire; `data` is JSON already. `named`: what a client that lost its stream had last."""
    return format_sse_event(event=event, data_str=data, id=named)


class StreamSlots:
    """At most `per_owner` open streams for each owner of streams, in this process."""

    def __init__(self, per_owner: int) -> None:
        self._per_owner = per_owner
        self._open: Counter[Hashable] = Counter()

    @contextlib.contextmanager
    def held(self, owner: Hashable) -> Generator[None]:
        """A place for one stream; take it before anything is waited for. Raises TooManyStreams."""
        if self._open[owner] >= self._per_owner:
            raise TooManyStreams(
                f"{self._per_owner} event streams are open already; close one or poll.", retry_after=5
            )
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


class EventStream(Streamed):
    """Runs a source of encoded events, and stops it when the client goes or `closing` is set.

    `slot` is entered already; it is left when the stream ends.
    """

    media_type = "text/event-stream"

    def __init__(
        self, source: Source, closing: asyncio.Event, slot: AbstractContextManager[object, bool | None]
    ) -> None:
        super().__init__(source, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._closing = closing
        self._slot = slot

    async def run(self, emit: Emit, receive: Receive) -> None:
        with self._slot:
            await until_first(self.work(emit), gone(receive), _set(self._closing))


async def _set(event: asyncio.Event) -> None:
    await event.wait()
