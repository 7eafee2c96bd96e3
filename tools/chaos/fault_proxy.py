"""A proxy before one server that cuts, holds, delays or swallows what it is told to, connection by connection."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


@dataclass(slots=True)
class FaultProxy:
    """`url` leads to the server. Faults meet requests whose bytes contain `mark`, at most `times` of them.

    `lag`: seconds by which everything comes late, either way.
    """

    target: str
    url: str = ""
    mark: bytes = b"\0"
    fault: str = ""
    times: int = 0
    met: int = 0
    lag: float = 0.0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    deaf: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    def on(self, fault: str, mark: bytes, times: int = 1) -> None:
        """`cut_before`, `cut_after` (no reply), `cut_within` (half), `swallow`, `hold` until `released`."""
        self.fault, self.mark, self.times = fault, mark, times
        self.released.clear()

    async def has_met(self) -> bool:
        return self.met > 0

    def hang(self, *, hangs: bool) -> None:
        """Accept and never answer; open connections go silent, too."""
        (self.deaf.set if hangs else self.deaf.clear)()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await self._connect()
        except OSError:  # nobody listens there
            writer.transport.abort()
            return
        self._open |= {writer, back}
        replies = asyncio.Queue[str]()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, back, writer, replies))
                group.create_task(self._replies(there, writer, replies))
        finally:
            self._open -= {writer, back}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target.startswith("/"):
            return await asyncio.open_unix_connection(self.target)
        parts = urlsplit(self.target)
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def _late(self, reader: asyncio.StreamReader) -> bytes:
        piece = await _piece(reader)
        if self.lag:
            await asyncio.sleep(self.lag)
        return piece

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
        replies: asyncio.Queue[str],
    ) -> None:
        while piece := await self._late(reader):
            if self.mark in piece and self.times > 0:
                self.times, self.met = self.times - 1, self.met + 1
                if self.fault == "cut_before":
                    writer.transport.abort()
                    break
                if self.fault == "swallow":
                    continue
                if self.fault == "hold":
                    await self.released.wait()
                else:
                    replies.put_nowait(self.fault)
            if self.deaf.is_set() or back.is_closing():
                continue
            back.write(piece)
        back.close()

    async def _replies(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: asyncio.Queue[str]
    ) -> None:
        while piece := await self._late(there):
            if self.deaf.is_set() or writer.is_closing():
                continue
            if not replies.empty():
                if replies.get_nowait() == "cut_within":
                    writer.write(piece[: len(piece) // 2])
                break
            writer.write(piece)
        writer.close()


async def _piece(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except OSError:
        return b""


@contextlib.asynccontextmanager
async def fault_proxy(target: str, socket: Path | None = None) -> AsyncGenerator[FaultProxy]:
    """Before a server's URL, or before the Unix socket of a database, at `socket` then."""
    proxy = FaultProxy(target)
    if socket is None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    else:
        server = await asyncio.start_unix_server(proxy.serve, socket)
    try:
        yield proxy
    finally:
        server.close()
        proxy.released.set()
        proxy.cut()


@contextlib.asynccontextmanager
async def before_database(url: str, folder: Path) -> AsyncGenerator[tuple[FaultProxy, str]]:
    """A proxy before the Unix socket of this libpq URL, and the URL that leads through it."""
    parts = urlsplit(url)
    place = parse_qs(parts.query)["host"][0]
    name = f".s.PGSQL.{parts.port or 5432}"
    async with fault_proxy(f"{place}/{name}", folder / name) as proxy:
        yield proxy, url.replace(quote(place, safe=""), quote(str(folder), safe=""))
