"""A process has settings, a log and one main coroutine; the first signal to stop ends it in order."""

import asyncio
import gc
import importlib.util
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

from atelier.entry import settings as all_settings
from atelier.entry.settings import Settings
from atelier.kit import log

_log = structlog.get_logger(__name__)


def start(*, quiet: bool = False, **overrides: object) -> Settings:
    """The settings, with the log set up by them; what the operator should know about them is in the log.

    `quiet` logs warnings only, unless a level is set: somebody looks at something nicer than a log.
    """
    settings = all_settings.load(**overrides)
    level = "warning" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    log.configure(level, settings.log_format)
    for notice in all_settings.notices():
        _log.warning("settings", notice=notice)
    return settings


def announce(sentence: str) -> None:
    """Something that takes long, or went elsewhere than asked."""
    _log.info("starting", note=sentence)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run until `main` ends, or until Ctrl-C or SIGTERM; then it is cancelled once, and may clean up."""
    _collect_seldom()
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_until_stopped(main))


def _collect_seldom() -> None:
    """What is imported stays; what a request leaves behind in circles is little, and looked for less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _loop() -> asyncio.AbstractEventLoop:
    """That of uvloop where it exists (not on Windows): sockets cost a third less."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def _until_stopped(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.current_task()
    stopping = asyncio.Event()

    def stop() -> None:
        if task is not None and not stopping.is_set():
            stopping.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await main
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
