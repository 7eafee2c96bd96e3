"""A program that uses an embedded server: says its URL in one line, and leaves when its standard input closes.

Arguments: the folder, `keep` or `stop`, the folder to fall back to, and the user id to become (or 0 for none).
It becomes that user only after its imports, because Python itself may lie where that user cannot read.
It runs on uvloop, as every role does; the tests themselves run on asyncio's own loop.
"""

import asyncio
import concurrent.futures.thread  # noqa: F401 - later it could not be read
import os
import sys
from pathlib import Path

import uvloop

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


def become(uid: int) -> None:
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


become(int(sys.argv[4]))
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(use(*sys.argv[1:4]))
