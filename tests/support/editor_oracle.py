"""The official editor in Chromium, asked what it would send for a file: the law that the converter keeps.

It is served by a stand-in that has nothing but the editor's files and an /object_info. Its dice always fall on the
first side, so that `{a|b}` in a prompt is a each time.
"""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator, Generator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.sync_api import Browser, Error, Page

PATIENCE = 120_000
"""Milliseconds."""
FILES_PER_PAGE = 60
"""A page that loaded hundreds of workflows grows slow."""

_ANSWERS: Mapping[str, Any] = {
    "settings": {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": "1.58.1"},
    "users": {"storage": "server", "migrated": True},
    "system_stats": {"system": {"comfyui_version": "0.3.64", "argv": []}, "devices": []},
    "queue": {"queue_running": [], "queue_pending": []},
    "jobs": {"jobs": [], "pagination": {"total": 0, "offset": 0, "limit": 0, "has_more": False}},
    **{name: {} for name in ("history", "features", "i18n", "workflow_templates", "global_subgraphs")},
    "node_replacements": {},
    "extensions": [],
}

_PACKED = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
_STATUS = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "x"}}

_ASK = """async (graph) => {
  try {
    const options = {skipAssetScans: true, silentAssetErrors: true};
    if (await window.app.loadGraphData(graph, true, false, null, options) === false)
      return {error: 'it could not be loaded'};
    const prompt = await window.app.graphToPrompt();
    return {output: JSON.parse(JSON.stringify(prompt.output))};
  } catch (error) { return {error: String(error && error.message || error)}; }
}"""


class EditorOracle:
    """Asks one page after another."""

    def __init__(self, chromium: Browser, base: str) -> None:
        self._chromium = chromium
        self._base = base
        self._page: Page | None = None
        self._asked = 0

    def asked(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """`{"output": the graph that it would send}` or `{"error": why it cannot}`."""
        if self._page is None or self._asked % FILES_PER_PAGE == 0:
            self._page = self._opened()
        self._asked += 1
        try:
            return dict(self._page.evaluate(_ASK, dict(document)))
        except Error as error:
            self._page = self._opened()
            return {"error": f"the page died: {error.message[:200]}"}

    def _opened(self) -> Page:
        if self._page is not None:
            self._page.close()
        page = self._chromium.new_page()
        page.add_init_script("Math.random = () => 0")
        page.goto(self._base)
        page.wait_for_function("window.app && window.app.graph && window.app.extensionManager", timeout=PATIENCE)
        page.locator("canvas#graph-canvas").wait_for(timeout=PATIENCE)
        page.locator("#splash-loader").wait_for(state="detached", timeout=PATIENCE)
        return page


@contextlib.contextmanager
def oracle(chromium: Browser, object_info: Mapping[str, Any]) -> Generator[EditorOracle]:
    """For servers with these classes."""
    with _served(_app(object_info)) as base:
        yield EditorOracle(chromium, base)


def _app(object_info: Mapping[str, Any]) -> web.Application:
    spec = find_spec("comfyui_frontend_package")
    if spec is None or spec.origin is None:
        raise RuntimeError("comfyui-frontend-package is not installed")
    static = Path(spec.origin).parent / "static"
    body = gzip.compress(json.dumps(object_info).encode(), 1)

    async def answered(request: web.Request) -> web.StreamResponse:
        path = request.path.strip("/")
        if path == "ws":
            return await _listening(request)
        if path == "api/object_info":
            return web.Response(
                body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
            )
        if path.startswith("api/"):
            name = path.removeprefix("api/")
            return web.json_response(_ANSWERS.get(name, []), status=404 if name.startswith("userdata") else 200)
        file = static / (path or "index.html")
        return web.FileResponse(file) if file.is_file() else web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answered)
    return app


async def _listening(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    await answer.send_json(
        {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "x"}}
    )
    async for _ in answer:
        pass
    return answer


@contextlib.contextmanager
def _served(app: web.Application) -> Generator[str]:
    """In a thread of its own: Playwright has this one's loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(app, listener, ready, stop),))
    thread.start()
    try:
        if not ready.wait(60):
            raise RuntimeError("the stand-in did not start")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()


async def _serve(
    app: web.Application, listener: socket.socket, ready: threading.Event, stop: asyncio.Event
) -> None:
    async with _running(app) as runner:
        await web.SockSite(runner, listener).start()
        ready.set()
        await stop.wait()


@contextlib.asynccontextmanager
async def _running(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()
