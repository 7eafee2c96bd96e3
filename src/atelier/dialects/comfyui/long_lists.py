"""A long list goes out as its reader takes it; each is held in memory, so an account has few under way."""

import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from atelier.dialects.auth import Call
from atelier.kit.errors import Kind, Refusal
from atelier.kit.http.answers import written_response
from atelier.kit.http.sse import StreamSlots, TooManyStreams
from atelier.kit.http.streamed import Streamed, copying
from atelier.kit.ids import AccountId

LONG = 1_000_000
"""Characters from which on a list counts."""

PIECE = 256 * 1024


class TooManyLists(Refusal):
    """So many long lists of the account are on their way already."""

    kind: ClassVar[Kind] = Kind.BUSY
    code: ClassVar[str] = "too_many_lists"


class _Long(Streamed):
    """`slots` has a place for it from its first byte to its last, however slowly it is read."""

    media_type = "application/json"

    def __init__(self, slots: StreamSlots, owner: AccountId, content: bytes) -> None:
        super().__init__(copying(_pieces(content)), headers={"Content-Length": str(len(content))})
        self._slots = slots
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with _place(self._slots, self._owner):
            await super().__call__(scope, receive, send)


def listed(call: Call, text: str) -> Response:
    """`text`, which is JSON already. Raises TooManyLists when it is sent."""
    if len(text) < LONG:
        return written_response(text)
    return _Long(call.services.long_lists, call.caller.account_id, text.encode())


@contextlib.contextmanager
def _place(slots: StreamSlots, owner: AccountId) -> Generator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(slots.held(owner))
        except TooManyStreams:
            words = "Several long lists are being read already: read one, or ask for fewer prompts (max_items)."
            raise TooManyLists(words, retry_after=1) from None
        yield


async def _pieces(content: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]
