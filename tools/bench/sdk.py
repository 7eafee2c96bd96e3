"""The official SDK as its users call it: `run()`, which polls at its own pace, and `submit()` with `events()`.

It runs as a program of its own, with COMFY_BASE_URL and COMFY_API_KEY in its environment, as the SDK wants it.
"""

import asyncio
import json
import sys
import time

from comfy_sdk import Comfy, OutputReady

from atelier.entry.settings import child_environment
from tools.bench import graphs
from tools.bench.through import Atelier
from tools.bench.turns import Result

SECONDS = 120.0


async def asked(atelier: Atelier, count: int) -> tuple[Result, Result]:
    """`run()` and `events()`, `count` jobs each, in turns."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.bench.sdk", str(count)),
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(COMFY_BASE_URL=atelier.url, COMFY_API_KEY=atelier.key),
    )
    try:
        async with asyncio.timeout(SECONDS):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    seen = json.loads(told)
    return Result("SDK run()", millis=seen["run"]), Result("SDK events()", millis=seen["events"])


def main() -> None:
    millis: dict[str, list[float]] = {"run": [], "events": []}
    with Comfy() as client:
        for _ in range(int(sys.argv[1])):
            began = time.perf_counter()
            client.run(client.workflows.from_json(graphs.plain())).outputs[0].to_bytes()
            millis["run"].append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            job = client.submit(client.workflows.from_json(graphs.plain()))
            outputs = [event.output for event in job.events() if isinstance(event, OutputReady)]
            outputs[0].to_bytes()
            millis["events"].append((time.perf_counter() - began) * 1000)
    sys.stdout.write(json.dumps(millis))


if __name__ == "__main__":
    main()
