"""One simulated ComfyUI: an event loop that answers, and one worker thread that runs prompts one by one."""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from atelier.simulator.cache import OutputCache
from atelier.simulator.catalogue import Catalogue
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.executor import Engine
from atelier.simulator.faults import Faults
from atelier.simulator.folders import Folders, digest, is_file
from atelier.simulator.memory import ModelMemory
from atelier.simulator.nodes.call import Workshop
from atelier.simulator.prompt_queue import Flags, Prompt, PromptQueue
from atelier.simulator.routes.table import add_routes
from atelier.simulator.sockets import Sockets
from atelier.simulator.state import SIMULATOR, Simulator, Tally

STOP_SECONDS = 2.0


def create_app(config: SimulatorConfig) -> web.Application:
    """The server as an aiohttp application; its worker thread lives from start-up to clean-up."""
    app = web.Application(client_max_size=config.max_upload_bytes)
    app[SIMULATOR] = _build(config)
    add_routes(app)
    app.cleanup_ctx.append(_worker)
    return app


async def serve(config: SimulatorConfig, host: str, port: int, *, ready: Callable[[str, int], None]) -> None:
    """Serve until cancelled. `port` 0 takes a free one; `ready(host, port)` is told the real one.

    The end is that of a killed server: sockets are cut without a close frame. Raises OSError for a taken port.
    """
    app = create_app(config)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        ready(host, _port(runner))
        await asyncio.Event().wait()
    finally:
        app[SIMULATOR].sockets.abort_all()
        await runner.cleanup()


def _port(runner: web.AppRunner) -> int:
    address: Any = runner.addresses[0]
    return int(address[1])


def _build(config: SimulatorConfig) -> Simulator:
    root = (config.directory or Path(tempfile.mkdtemp(prefix="atelier-simulator-"))).resolve()
    folders, sockets, faults, tally = Folders(root), Sockets(), Faults(), Tally(config.control)
    folders.make()
    memory = ModelMemory(config.vram_gb, config.load_seconds, config.load_seconds_per_gb)
    shop = Workshop(config, folders, memory, faults, drawn=tally.picture)
    queue = PromptQueue(
        changed=lambda: sockets.send("status", {"status": simulator.status()}, None),
        starting=shop.interrupt.clear,
        stalled=lambda: faults.is_on("stall"),
    )
    simulator = Simulator(config, folders, Catalogue(config, folders), sockets, queue, faults, shop, tally)
    return simulator


async def _worker(app: web.Application) -> AsyncIterator[None]:
    simulator = app[SIMULATOR]
    simulator.sockets.bind(asyncio.get_running_loop())
    thread = threading.Thread(target=_work, args=(simulator,), name="prompts", daemon=True)
    thread.start()
    yield
    simulator.queue.close()
    simulator.shop.interrupt.set()
    simulator.faults.switch_off()
    simulator.sockets.bind(None)
    await asyncio.to_thread(thread.join, STOP_SECONDS)
    if simulator.config.directory is None:
        await asyncio.to_thread(shutil.rmtree, simulator.folders.root, ignore_errors=True)


def _work(simulator: Simulator) -> None:
    """The worker thread: one prompt after the other, and what /free asked for between them."""
    cache = OutputCache(lambda node: _changed(simulator.folders, node))
    engine = Engine(simulator.shop, simulator.catalogue, simulator.sockets, cache)
    while (taken := simulator.queue.take()) is not None:
        match taken:
            case Flags():
                _free(engine, taken)
            case Prompt():
                _run(simulator, engine, taken)


def _free(engine: Engine, flags: Flags) -> None:
    if flags.unload_models or flags.free_memory:
        engine.shop.memory.unload_all()
    if flags.free_memory:
        engine.cache.clear()


def _run(simulator: Simulator, engine: Engine, prompt: Prompt) -> None:
    simulator.faults.wait_while("wedge")
    simulator.tally.execution(prompt.id)
    result = engine.run(prompt)
    simulator.queue.finish(prompt, result.as_json(), result.status)
    if simulator.faults.use("lose_history") is not None:
        simulator.queue.forget(prompt.id)
    if prompt.client_id is not None:
        simulator.sockets.send("executing", {"node": None, "prompt_id": prompt.id}, prompt.client_id)


def _changed(folders: Folders, node: Mapping[str, Any]) -> str | None:
    """What a node depends on besides its inputs: the content of its file, or the time if it always runs."""
    match node:
        case (
            {"class_type": "LoadImage" | "LoadImageMask", "inputs": {"image": str(name)}}
            | {"class_type": "LoadVideo", "inputs": {"file": str(name)}}
            | {"class_type": "VHS_LoadVideo", "inputs": {"video": str(name)}}
        ):
            path = folders.annotated(name)
            return digest(path) if path is not None and is_file(path) else None
        case {"class_type": "SaveImageWebsocket"}:
            return str(time.time())
        case _:
            return None
