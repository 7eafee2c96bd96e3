"""A small balancer before the API processes: each connection goes to the next, or to the other one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

PIECE = 65_536


@dataclass(slots=True)
class Balancer:
    """`passed_on`: connections that the first choice refused; `refused`: those that nobody took."""

    ports: Sequence[int]
    url: str = ""
    turn: int = 0
    passed_on: int = 0
    refused: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await self._connect()
        if behind is None:
            self.refused += 1
            writer.transport.abort()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pipe(reader, behind[1]))
            group.create_task(_pipe(behind[0], writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self.turn += 1
        for offset in range(len(self.ports)):
            port = self.ports[(self.turn + offset) % len(self.ports)]
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self.passed_on += 1
        return None


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Everything from one side to the other; a side that breaks breaks the other one, too."""
    try:
        while piece := await source.read(PIECE):
            sink.write(piece)
            await sink.drain()
    except OSError:
        sink.transport.abort()
    else:
        sink.close()


@contextlib.asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncGenerator[Balancer]:
    """Listens on a free port of the loopback until the block ends."""
    made = Balancer(ports)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
