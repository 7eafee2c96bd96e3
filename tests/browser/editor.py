"""What a person does in the editor and what they see there, and all that their browser complained of meanwhile."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Request, Response, WebSocket

PATIENCE = 30_000
"""Milliseconds."""

MAY_BE_MISSING = ("/userdata/user.css", "/userdata/comfy.templates.json", "/userdata/workflows%2F.index.json")
"""Files of a person that the editor asks for, whether they have them or not: a ComfyUI answers 404 as well."""

MAY_BE_EMPTY = ("/userdata?dir=workflows&", "/userdata?dir=subgraphs&")
"""Folders, likewise."""


class Editor:
    """One tab. `frames` are the socket's messages: texts parsed, binary ones as they are."""

    def __init__(self, window: BrowserContext, base: str) -> None:
        self.page = window.new_page()
        self.frames: list[Any] = []
        self.complaints: list[str] = []
        self.shown: list[str] = []
        self._base = base
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("response", self._on_response)
        self.page.on("requestfailed", self._on_failed)
        self.page.on("websocket", self._on_socket)

    def sign_in(self, key: str) -> None:
        """The way that somebody goes who was given an address and a key."""
        self.page.goto(f"{self._base}/comfy/")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self._wait_until_drawn()

    def open(self, path: str) -> None:
        self.page.goto(self._base + path)
        self._wait_until_drawn()

    def reload(self) -> None:
        self.page.reload()
        self._wait_until_drawn()

    def forget(self) -> None:
        """What was seen until now."""
        self.frames.clear()
        self.complaints.clear()
        self.shown.clear()

    def load(self, graph: Mapping[str, Any]) -> None:
        """As if its file had been dropped on the canvas."""
        self.page.evaluate("graph => window.app.loadApiJson(graph, 'dropped')", dict(graph))
        self.page.keyboard.press(".")  # all of it in sight: what is not in sight is not drawn, nor fetched

    def run(self) -> None:
        self.page.get_by_test_id("queue-button").click()

    def cancel(self) -> None:
        self.page.get_by_role("button", name="Cancel current run").click()

    def jobs(self) -> Locator:
        """The names in the panel of jobs."""
        panel = self.page.get_by_test_id("queue-progress-overlay")
        if not panel.get_by_text("Job Queue").is_visible():
            self.page.get_by_test_id("queue-overlay-toggle").click()
        panel.get_by_text("Job Queue").wait_for(timeout=PATIENCE)
        return panel.get_by_text("_.png")

    def workflows(self) -> Locator:
        """The names of kept graphs."""
        search = self.page.get_by_placeholder("Search Workflows")
        if not search.is_visible():
            self.page.get_by_test_id("workflows-tab-button").click()
        search.wait_for(timeout=PATIENCE)
        return self.page.locator("[role=treeitem]")

    def save_as(self, name: str) -> None:
        self.page.keyboard.press("Control+s")
        self.page.get_by_role("dialog").get_by_role("textbox").fill(name)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("dialog").wait_for(state="hidden", timeout=PATIENCE)

    def wait_for(self, what: str) -> Mapping[str, Any]:
        """The data of the first message of this type."""
        data: Mapping[str, Any] = self._until(
            lambda: next((one["data"] for one in self.texts() if one["type"] == what), None)
        )
        return data

    def wait_for_end(self) -> None:
        """The last message of a prompt."""
        self._until(
            lambda: [one for one in self.texts() if one["type"] == "executing" and one["data"]["node"] is None]
        )

    def wait_for_picture(self) -> str:
        """The address of a picture that was fetched whole."""
        return str(self._until(lambda: self.shown[-1] if self.shown else None))

    def texts(self) -> list[Any]:
        return [one for one in self.frames if not isinstance(one, bytes)]

    def _until(self, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE / 1000
        while not (one := found()):
            assert time.monotonic() < deadline, f"seen were {[text['type'] for text in self.texts()]}"
            self.page.wait_for_timeout(50)
        return one

    def _wait_until_drawn(self) -> None:
        """A graph is there, and whoever runs it is known to the server."""
        self.page.locator("canvas#graph-canvas").wait_for(timeout=PATIENCE)
        self.page.get_by_test_id("queue-button").wait_for(timeout=PATIENCE)
        self.page.locator("#splash-loader").wait_for(state="detached", timeout=PATIENCE)
        self._until(lambda: self.page.evaluate("window.app?.graph?.nodes.length"))
        self.wait_for("status")

    def _on_socket(self, socket: WebSocket) -> None:
        self.frames.clear()
        socket.on("framereceived", self._on_frame)

    def _on_frame(self, payload: str | bytes) -> None:
        self.frames.append(payload if isinstance(payload, bytes) else json.loads(payload))

    def _on_console(self, message: ConsoleMessage) -> None:
        """What the network said is told by the answers themselves."""
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def _on_response(self, answer: Response) -> None:
        if answer.ok and "/api/view?" in answer.url:
            self.shown.append(answer.url)
        tolerated = answer.status == 404 and any(one in answer.url for one in (*MAY_BE_MISSING, *MAY_BE_EMPTY))
        if answer.status >= 400 and not tolerated and answer.url.startswith(self._base):
            self.complaints.append(f"{answer.status} {answer.request.method} {answer.url}")

    def _on_failed(self, request: Request) -> None:
        """What is not asked of us is not ours to answer; what the browser itself took back, neither."""
        if request.url.startswith(self._base) and "ERR_ABORTED" not in (request.failure or ""):
            self.complaints.append(f"{request.failure} {request.method} {request.url}")
