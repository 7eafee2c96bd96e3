"""One open socket: what is put for it is written in order, by itself, and holds up nobody else.

Who does not read loses first what is only worth a look, then the connection.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Hashable
from dataclasses import dataclass
from typing import ClassVar

from atelier.dialects.comfyui.layouts import PLAIN, Reader
from atelier.dialects.comfyui.outbox import Outbox
from atelier.kit.errors import Kind, Refusal
from atelier.kit.ids import AccountId

PATIENCE_SECONDS = 30.0
"""So long one message may wait for its reader."""

Send = Callable[[str | bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Farewell:
    """Why a socket is closed: a code of RFC 6455, section 7.4, and words."""

    code: int
    reason: str


GOING_AWAY = Farewell(1001, "the server is going down; connect again")
TOO_SLOW = Farewell(1013, "messages were not read in time; connect again")
TOO_LOUD = Farewell(1008, "too many messages; this server reads feature flags only")


class TooManySockets(Refusal):
    """The account has as many sockets open as it may."""

    kind: ClassVar[Kind] = Kind.BUSY
    code: ClassVar[str] = "too_many_sockets"


class NoSocketLeft(Refusal):
    """Here are as many sockets open as may be, or jobs cannot be followed just now."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    code: ClassVar[str] = "no_socket_left"


class Client:
    """`sid` is its address: the client id that prompts name. `pump` writes, everybody else only puts."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.reader: Reader = PLAIN
        self.told_version = 0
        """Which state of the queue its last status was about."""

        self._outbox = Outbox()
        self._filled = asyncio.Event()
        self._farewell: Farewell | None = None
        self._limit: asyncio.Timeout | None = None

    def put(self, message: str | bytes, key: Hashable | None = None) -> None:
        """Have it written. With a `key`, the next of that key may take its place while it waits."""
        if self._farewell is None:
            if self._outbox.put(message, key):
                self._filled.set()
            else:
                self.close(TOO_SLOW)

    def close(self, farewell: Farewell) -> None:
        """No more is written; the first reason counts."""
        if self._farewell is None:
            self._farewell = farewell
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time())

    async def pump(self, send: Send) -> Farewell:
        """Write what is put, until there is a reason to say goodbye; gives it."""
        if self._farewell is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as self._limit:
                    await self._write(send, self._limit)
            self._limit = None
        self._farewell = self._farewell or TOO_SLOW
        return self._farewell

    async def _write(self, send: Send, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._farewell is None and (message := self._outbox.take()) is not None:
                limit.reschedule(loop.time() + PATIENCE_SECONDS)
                await send(message)
            if self._farewell is None:
                limit.reschedule(None)


class Places:
    """How many sockets one process keeps open, in all and for each account; those that still knock count too."""

    def __init__(self, per_account: int = 200, in_all: int = 10_000) -> None:
        self._per_account = per_account
        self._in_all = in_all
        self._open = 0
        self._of: Counter[AccountId] = Counter()

    @contextlib.contextmanager
    def knocking(self) -> Generator[None]:
        """A place in this process, before anybody is asked who that is. Raises NoSocketLeft."""
        if self._open >= self._in_all:
            raise NoSocketLeft(f"{self._in_all} sockets are open here already; try again soon.", retry_after=5)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @contextlib.contextmanager
    def held(self, account_id: AccountId) -> Generator[None]:
        """A place of the account's. Raises TooManySockets."""
        if self._of[account_id] >= self._per_account:
            raise TooManySockets(
                f"{self._per_account} sockets of this account are open already; close one.", retry_after=5
            )
        self._of[account_id] += 1
        try:
            yield
        finally:
            self._of[account_id] -= 1
            if not self._of[account_id]:
                del self._of[account_id]


def new_sid() -> str:
    """32 hex digits, for a client that brings no id (wire contract 7.1)."""
    return secrets.token_hex(16)
