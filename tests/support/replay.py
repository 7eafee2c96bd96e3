"""A recording of a real ComfyUI is played again at a running server, and both sides are made comparable."""

import asyncio
import base64
import contextlib
import io
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from PIL import Image
from yarl import URL

from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import create_app

RECORDINGS = Path(__file__).parents[1] / "recordings"
PATIENCE = 60.0
"""Seconds until a message that the real server sent counts as missing."""

IDLE: list[Any] = [{"exec_info": {"queue_remaining": 0}}, {"queue_running": [], "queue_pending": []}]

_COUNTER = re.compile(r"^(?P<stem>.*?)_(?P<number>\d{5})_\.png$")
_TEMPORARY = re.compile(r"_temp_[a-z]{5}")
_UNORDERED = frozenset({"executed", "current_outputs"})
_CHANGING = frozenset({"timestamp", "modified", "created"})


def recording(name: str, scenes: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The events of a recording; with `scenes` only those after a note that begins so, and all connections."""
    events: list[dict[str, Any]] = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))["events"]
    if not scenes:
        return events
    kept: list[dict[str, Any]] = []
    wanted = False
    for event in events:
        wanted = event["text"].startswith(scenes) if event["kind"] == "note" else wanted
        is_greeting = event.get("direction") == "connect" or '"sid"' in json.dumps(event)
        if wanted or is_greeting:
            kept.append(event)
    return kept


@contextlib.asynccontextmanager
async def simulated(config: SimulatorConfig) -> AsyncGenerator[str]:
    """The base URL of a simulated server on a free port, in this loop."""
    runner = web.AppRunner(create_app(config), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Side:
    """What one server named by chance: ids and counters get names by order of appearance."""

    ids: dict[str, str] = field(default_factory=dict)
    first_number: int | None = None
    files: dict[str, str] = field(default_factory=dict)
    stems: dict[str, int] = field(default_factory=dict)

    def learn(self, answer: Any) -> None:
        """Look at the answer of POST /prompt."""
        if isinstance(answer, dict) and "prompt_id" in answer:
            self.ids.setdefault(answer["prompt_id"], f"prompt {len(self.ids)}")
            if self.first_number is None:
                self.first_number = abs(answer["number"])

    def plain(self, value: Any, key: str = "") -> Any:
        """`value` without anything that differs from server to server."""
        match value:
            case dict():
                return {
                    self.name(name): self.plain(item, name)
                    for name, item in value.items()
                    if name not in {"traceback", "tooltip", "current_inputs"}
                }
            case list() if key in _UNORDERED or self._is_outputs(value):
                return sorted(str(self.plain(item)) for item in value)
            case list():
                return [self.plain(item) for item in value]
            case str():
                return self.text(value, key)
            case int() | float() if key in _CHANGING:
                return "changing"
            case _:
                return value

    def text(self, value: str, key: str) -> str:
        """Files and prompts by their names here; of an error only the first line, where no paths stand."""
        if key == "filename":
            return self.file(value)
        return value.splitlines()[0] if key == "exception_message" else self.name(value)

    def name(self, value: str) -> str:
        return self.ids.get(value, value)

    def file(self, value: str) -> str:
        found = _COUNTER.match(_TEMPORARY.sub("_temp", value))
        if found is None:
            return value
        if value not in self.files:
            self.stems[found["stem"]] = self.stems.get(found["stem"], 0) + 1
            self.files[value] = f"{found['stem']} #{self.stems[found['stem']]}"
        return self.files[value]

    def number(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        first = self.first_number or 0
        return value - first if value >= 0 else value + first

    @staticmethod
    def _is_outputs(value: list[Any]) -> bool:
        return len(value) > 1 and all(isinstance(item, str) and item.isdigit() for item in value)


@dataclass
class Wire:
    """One socket and what it received."""

    ws: aiohttp.ClientWebSocketResponse
    expected: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    skipped: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset({"progress", "status"})
    """Types of which nobody knows how many come."""

    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        async for message in self.ws:
            body = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else message.data
            async with self.news:
                self.received.append(body)
                self.news.notify_all()

    async def catch_up(self) -> None:
        """Wait until as many milestones came as the real server had sent by now."""
        wanted = self._milestones(self.expected)
        try:
            async with asyncio.timeout(PATIENCE), self.news:
                await self.news.wait_for(lambda: wanted <= self._milestones(self.received))
        except TimeoutError:
            missing = wanted - self._milestones(self.received)
            pytest.fail(f"{dict(missing)} did not come; the last that came: {self.received[-8:]}")

    def _milestones(self, messages: list[Any]) -> Counter[str]:
        return Counter(one["type"] for one in messages if self._is_milestone(one))

    def _is_milestone(self, body: Any) -> bool:
        if not isinstance(body, dict) or body["type"] in self.unsure or is_step(body):
            return False
        return body["data"].get("prompt_id") not in self.skipped


def is_step(message: dict[str, Any]) -> bool:
    """A node that runs tells how far it is."""
    match message:
        case {"type": "progress_state", "data": {"nodes": nodes}}:
            running = [node for node in nodes.values() if node["state"] == "running"]
            return any((node["value"], node["max"]) != (0.0, 1.0) for node in running)
        case {"type": kind}:
            return bool(kind == "progress")
        case _:
            return False


@dataclass
class Exchange:
    """One request with the answer of the real server and the one given now."""

    path: str
    asked: Any
    expected: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes

    def decoded(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")


@dataclass
class Replay:
    """Plays a recording; afterwards `exchanges` and `wires` hold both sides."""

    session: aiohttp.ClientSession
    base: str
    real: Side = field(default_factory=Side)
    here: Side = field(default_factory=Side)
    wires: dict[str, Wire] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)
    """Ids of both sides of prompts whose messages are not compared."""

    async def play(self, events: Iterable[dict[str, Any]]) -> None:
        asked: dict[str, Any] = {}
        async with asyncio.TaskGroup() as group:
            for event in events:
                match event:
                    case {"kind": "http", "direction": "request"}:
                        asked = event
                    case {"kind": "http", "direction": "response"}:
                        await self._catch_up()
                        await self._ask(asked, event)
                    case {"kind": "ws"}:
                        await self._socket(group, event)
                    case _:
                        continue
            await self._catch_up()
            for wire in self.wires.values():
                await wire.ws.close()

    async def _catch_up(self) -> None:
        for wire in self.wires.values():
            if not wire.ws.closed:
                await wire.catch_up()

    async def _socket(self, group: asyncio.TaskGroup, event: dict[str, Any]) -> None:
        name = event["conn"]
        match event["direction"]:
            case "connect":
                await self._catch_up()
                ws = await self.session.ws_connect(self.base + event["path"], max_msg_size=0)
                self.wires[name] = Wire(ws)
                group.create_task(self.wires[name].listen())
            case "send":
                await self.wires[name].ws.send_str(text_of(event["body"]))
            case "close":
                await self._catch_up()
                await self.wires[name].ws.close()
            case "recv" if "body" in event:
                body = event["body"]
                self.wires[name].expected.append(base64.b64decode(body["b64"]) if "b64" in body else body)

    async def _ask(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        path = asked["path"]
        for real, here in zip(self.real.ids, self.here.ids, strict=True):
            path = path.replace(real, here)
        for real, name in self.real.files.items():
            here = next((file for file, other in self.here.files.items() if other == name), real)
            path = path.replace(real, here)
        headers = dict(asked.get("headers", {}))
        if "Origin" in headers and "Host" not in headers:
            headers["Host"] = "127.0.0.1:8188"
        body = self._here(asked)
        url = URL(self.base + path, encoded=True)
        if asked["method"] == "GET" and (answer.get("body") in IDLE or is_history(answer)):
            await self._wait_until_idle()
        async with self.session.request(asked["method"], url, data=body, headers=headers) as response:
            content = await response.read()
            given = dict(response.headers)
            exchange = Exchange(asked["path"], asked.get("body"), answer, response.status, given, content)
        self.exchanges.append(exchange)
        self._learn(exchange)

    async def _wait_until_idle(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                async with self.session.get(f"{self.base}/prompt") as response:
                    if await response.json() == IDLE[0]:
                        return
                await asyncio.sleep(0.005)

    def _here(self, asked: dict[str, Any]) -> Any:
        if "multipart" in asked:
            return form_of(asked["multipart"])
        if "body" not in asked:
            return None
        body = asked["body"]
        if isinstance(body, dict) and isinstance(body.get("b64"), str):
            return base64.b64decode(body["b64"])
        text = text_of(body)
        for real, here in zip(self.real.ids, self.here.ids, strict=True):
            text = text.replace(f'"{real}"', f'"{here}"')
        return text.encode()

    def _learn(self, exchange: Exchange) -> None:
        if exchange.path == "/prompt" and exchange.status == exchange.expected["status"] == 200:
            self.real.learn(exchange.expected["body"])
            if "TestDynamicDependencyCycle" in str(exchange.asked):
                self._skip(exchange.expected["body"]["prompt_id"], exchange.decoded()["prompt_id"])
            self.here.learn(exchange.decoded())
        self.real.plain(exchange.expected.get("body"))
        if "json" in exchange.headers.get("Content-Type", ""):
            self.here.plain(exchange.decoded())

    def _skip(self, *prompt_ids: str) -> None:
        """The real node grows a subgraph and tells its nodes' steps; the simulated one only ends the same way."""
        self.skipped.update(prompt_ids)
        for wire in self.wires.values():
            wire.skipped = frozenset(self.skipped)


def is_history(answer: dict[str, Any]) -> bool:
    """Whether the answer shows a prompt that had ended."""
    return answer["path"].startswith("/history/") and bool(answer.get("body"))


def form_of(parts: list[dict[str, Any]]) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for part in parts:
        content = base64.b64decode(part["b64"]) if "b64" in part else part["value"]
        kind = part.get("content_type")
        if part.get("filename") is None:
            form.add_field(part["name"], content)
        else:
            form.add_field(part["name"], content, filename=part["filename"], content_type=kind)
    return form


def text_of(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    """Mode, size and bytes of an encoded image."""
    with Image.open(io.BytesIO(content)) as image:
        return image.mode, image.size, image.tobytes()


def texts(content: bytes) -> dict[str, Any]:
    """The text chunks of a PNG, each as the JSON that it is."""
    with Image.open(io.BytesIO(content)) as image:
        return {key: json.loads(value) for key, value in getattr(image, "text", {}).items()}
