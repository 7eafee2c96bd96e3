"""A TCP proxy whose connections can all be torn at once, in the middle of whatever they carry."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit


class BreakingProxy:
    """`url` leads to the target; `torn` counts the connections that were torn while they were open."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.torn = 0

    def tear(self) -> None:
        """Reset every connection."""
        self.torn += len(self._open)
        for writer in list(self._open):
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back))
                group.create_task(_pump(there, writer))
        finally:
            self._open.discard(writer)
            for end in (writer, back):
                end.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
    with contextlib.suppress(OSError, RuntimeError):
        sink.write_eof()


@contextlib.asynccontextmanager
async def breaking_proxy(target: str) -> AsyncGenerator[BreakingProxy]:
    proxy = BreakingProxy(target)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.tear()
        server.close()
        async with asyncio.timeout(10):
            await server.wait_closed()
