"""Many simulated servers in this process, each on its own port: light enough for a hundred."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from atelier.kit.background import background
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import serve


@contextlib.asynccontextmanager
async def farm(count: int, config: SimulatorConfig | None = None) -> AsyncGenerator[Sequence[str]]:
    """Gives their addresses. Each costs a thread that sleeps, and a folder of its own."""
    async with background() as tasks:
        addresses = [asyncio.get_running_loop().create_future() for _ in range(count)]
        for address in addresses:
            tasks.start(_one(config or SimulatorConfig(), address))
        yield await asyncio.gather(*addresses)


async def _one(config: SimulatorConfig, address: asyncio.Future[str]) -> None:
    def ready(host: str, port: int) -> None:
        if not address.done():  # the test may be over
            address.set_result(f"http://{host}:{port}")

    await serve(config, "127.0.0.1", 0, ready=ready)
