"""A TCP proxy before each server: connections are cut, refused, slowed down and held, as chance has it."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PIECE = 65_536


@dataclass(slots=True)
class Proxy:
    """`url` leads to the server at `target`. Both directions of all its connections share one weather."""

    target: str
    url: str = ""
    refuses: bool = False
    delay: float = 0.0
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    def cut(self) -> None:
        """Reset every connection."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            parts = urlsplit(self.target)
            there, back = await asyncio.open_connection(parts.hostname, parts.port)
            self._open |= {writer, back}
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, back))
                    group.create_task(self._carry(there, writer))
            finally:
                self._open -= {writer, back}

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self.flows.wait()
                sink.write(piece)
                await sink.drain()
        sink.close()


@contextlib.asynccontextmanager
async def proxied(target: str) -> AsyncGenerator[Proxy]:
    """A proxy on a free port of the loopback, in fair weather."""
    proxy = Proxy(target)
    proxy.flows.set()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.flows.set()
        proxy.cut()


@dataclass(slots=True)
class Weather:
    """What happens to the servers, one after another, about every `pause` seconds."""

    proxies: Sequence[Proxy]
    pause: float
    chance: random.Random
    happened: Counter[str] = field(default_factory=Counter[str])

    async def blow(self) -> None:
        """For ever."""
        kinds = {"cut": self._cut, "refused": self._refuse, "slow": self._slow, "held": self._hold}
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.pause)
            name = self.chance.choice(sorted(kinds))
            self.happened[name] += 1
            await kinds[name](self.chance.choice(self.proxies))

    async def _cut(self, proxy: Proxy) -> None:
        proxy.cut()

    async def _refuse(self, proxy: Proxy) -> None:
        """Cut off for a moment, but not as long as a server is given up."""
        proxy.refuses = True
        proxy.cut()
        await asyncio.sleep(self.chance.uniform(0.2, 2.0))
        proxy.refuses = False

    async def _slow(self, proxy: Proxy) -> None:
        proxy.delay = self.chance.uniform(0.02, 0.2)
        await asyncio.sleep(self.chance.uniform(1.0, 4.0))
        proxy.delay = 0.0

    async def _hold(self, proxy: Proxy) -> None:
        """Nothing comes through, and nothing is lost."""
        proxy.flows.clear()
        await asyncio.sleep(self.chance.uniform(0.5, 3.0))
        proxy.flows.set()
