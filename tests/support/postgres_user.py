"""A program that uses an embedded server: says its URL in one line, and leaves when its standard input closes.

Arguments: the folder, `keep` or `stop`, and the folder to fall back to.
"""

import asyncio
import sys
from pathlib import Path

from atelier.kit.errors import SetupFailed
from atelier.kit.postgres import embedded


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def use(folder: str, keep: str, fallback: str) -> None:
    try:
        async with embedded(
            Path(folder), keep=keep == "keep", announce=lambda words: say(f"said {words}"), fallback=Path(fallback)
        ) as url:
            say(f"url {url}")
            await asyncio.to_thread(sys.stdin.read)
    except SetupFailed as refusal:
        say(f"refused {refusal.message}")


asyncio.run(use(*sys.argv[1:]))
