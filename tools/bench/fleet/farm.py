"""Many simulated servers in one process, each on a port of its own: `python -m tools.bench.fleet.farm`.

Each is the whole simulator with its own queue, history, folder and thread; only the process and its event loop are
shared. A step that lasts costs no CPU, so dozens of them need less than one process each would for itself.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import serve


async def farm(count: int, folder: Path, step_seconds: float) -> None:
    """Serve until cancelled; when all listen, one line of JSON tells their addresses, separated by commas."""
    loop = asyncio.get_running_loop()
    addresses = [loop.create_future() for _ in range(count)]

    async def one(number: int) -> None:
        config = SimulatorConfig(directory=folder / f"server-{number}", step_seconds=step_seconds)
        told = addresses[number]
        await serve(config, "127.0.0.1", 0, ready=lambda host, port: told.set_result(f"http://{host}:{port}"))

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
        urls: list[str] = await asyncio.gather(*addresses)
        sys.stdout.write(json.dumps({"url": ",".join(urls)}) + "\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("step_seconds", type=float)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(farm(asked.count, asked.folder, asked.step_seconds))


if __name__ == "__main__":
    main()
