"""What a real ComfyUI answered and sent, Atelier answers and sends: but for the differences that a page names.

The recordings are played at an installation with one server behind it. Ids, times and numbers are its own; every
other difference is a row of docs/native-api.md, and each row that is used here has to stand there.
"""

import asyncio
import base64
import json
import re
import select
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conformance import graphs
from conformance.installation import ATELIER, Installation, environment, installation, stop
from simulator.test_recordings import frame, leave_a_latent_in_the_cache
from support.replay import PATIENCE, Exchange, Replay, Side, Wire, is_step, recording

pytestmark = pytest.mark.timeout(180)

PAGE = Path(__file__).parents[2] / "docs" / "native-api.md"
CHECKPOINTS = ("tinyrand_A.safetensors", "other")

NAMES = "files are named"
NUMBERS = "a number counts the prompts"
STAMP = "`extra_data` in lists is what was sent"
TEXTS = "a picture's text `prompt`"
FLAGS = "flags of a server of 2025"
OVERLAP = "one prompt's messages end"
BEGUN = "a prompt that began is at once"
REPEAT = "the same prompt again is cached whole"
CACHE = "what is cached is known"
WORDS = "words of 2025"
MALFORMED = "malformed JSON"
NAN = "`NaN` and `Infinity`"
EXTRA = "`extra_data: null`"
IDS = "a prompt id may be anything"
FILES = "a file name that a loader does not know is 400"
STATUS = "`status_str` can be `success`"
MODELS = "`/models…`"
SETTINGS = "settings are a file"
FORMS = "mistakes in a form"
METHODS = "a wrong method"

ALWAYS = (NAMES, NUMBERS, STAMP, TEXTS, FLAGS, OVERLAP, BEGUN)
"""What is made equal on both sides, or not looked at, wherever it comes."""

TOLERATED: dict[str, dict[int, str]] = {
    "c_cached_repeat": dict.fromkeys((3, 5, 7), REPEAT),
    "d_validation": {
        **dict.fromkeys((0, 1, 15, 18, 24, 25), WORDS),
        **dict.fromkeys((12, 13, 16, 17, 30, 36), MALFORMED),
        23: FILES,
        32: EXTRA,
        35: NAN,
    },
    "e_execution_error": {5: STATUS},
    "f_interrupt_delete": {**dict.fromkeys((21, 40, 41), MALFORMED), 37: BEGUN},
    "g_queue_order": dict.fromkeys((8, 9, 11, 12, 13, 14, 15, 17, 18, 19, 21, 22, 24, 26, 28), IDS),
    "j_http_surface": {
        2: FLAGS,
        **dict.fromkeys((5, 12), MODELS),
        28: SETTINGS,
        **dict.fromkeys((43, 115), MALFORMED),
        **dict.fromkeys((55, 57, 60, 66, 68, 98), FORMS),
        **dict.fromkeys((110, 111, 112), METHODS),
    },
    "m_partial": {4: REPEAT},
    "m_batch": {5: CACHE},
}
"""Exchanges of a recording, counted from 0, that may differ, by the row that says so."""

WIRES = {"c_cached_repeat": REPEAT, "m_batch": CACHE}
"""Recordings whose messages may differ."""

_SHOWN = re.compile(r"^(?P<stem>.*?)_\d{5,}(-\d{5,})?(?P<rest>_\.\w+)$")


class Names(Side):
    """Ids and numbers by their order, and files by what their graph asked for."""

    def plain(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if name != "create_time"}
        return super().plain(value, key)

    def file(self, value: str) -> str:
        found = _SHOWN.match(re.sub(r"_temp_[a-z]{5}", "_temp", value))
        if found is None:
            return value
        stem = f"{found['stem']}{found['rest']}"
        if value not in self.files:
            self.stems[stem] = self.stems.get(stem, 0) + 1
            self.files[value] = f"{stem} #{self.stems[stem]}"
        return self.files[value]


@dataclass
class Through(Replay):
    """What Atelier refuses is not waited for."""

    real: Names = field(default_factory=Names)
    here: Names = field(default_factory=Names)

    async def _socket(self, group: asyncio.TaskGroup, event: dict[str, Any]) -> None:
        await super()._socket(group, event)
        self.wires[event["conn"]].unsure |= {"progress_state"}

    async def _ask(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["path"].endswith("/interrupt"):
            await self._until_heard()
        await super()._ask(asked, answer)

    async def _until_heard(self) -> None:
        """What the real server had begun when it was interrupted has begun here too."""
        for wire in self.wires.values():
            begun = {self.real.name(one) for one in prompts_in(wire.expected) - self.skipped}
            async with asyncio.timeout(PATIENCE), wire.news:
                while not begun <= {self.here.name(one) for one in prompts_in(wire.received)}:
                    await wire.news.wait()

    def _learn(self, exchange: Exchange) -> None:
        super()._learn(exchange)
        expected = exchange.expected.get("body")
        if exchange.status != 200 and isinstance(expected, dict) and "prompt_id" in expected:
            self._skip(str(expected["prompt_id"]))


@dataclass(frozen=True, slots=True)
class Place:
    """An installation and the server behind it."""

    atelier: Installation
    server: str

    def base_of(self, account: str) -> str:
        """What stands in a client for the address of a ComfyUI."""
        return f"{self.atelier.url}/k/{self.atelier.key_of(account)}"


@pytest.fixture(scope="session")
def place() -> Generator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="atelier-recordings-"))
    folder.chmod(0o755)  # the embedded PostgreSQL of root works as another user
    names = [word for name in CHECKPOINTS for word in ("--checkpoint", name)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*ATELIER, "simulate", "--port", "0", "--json", "--previews", "--step-seconds", "0.02", *names],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        server = _address(process)
        with installation(folder, comfyui=server) as started:
            yield Place(started, server)
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 30)[0], "the server did not start"
    return str(json.loads(process.stdout.readline())["url"])


async def play(place: Place, name: str, *scenes: str) -> Through:
    """By an account that nobody has used, on a server that has nothing cached."""
    base = await asyncio.to_thread(place.base_of, f"{name} {scenes}")
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{place.server}/free", json={"unload_models": True, "free_memory": True}
        ) as freed:
            assert freed.status == 200
        if name.startswith("k_"):
            await leave_a_latent_in_the_cache(session, base)
        replay = Through(session, base)
        await replay.play(recording(name, scenes))
    return replay


@pytest.mark.parametrize(
    "name",
    [
        "a_success",
        "b_upload_load_scale_save",
        "c_cached_repeat",
        "d_validation",
        "e_execution_error",
        "f_interrupt_delete",
        "g_queue_order",
        "h_binary_frames",
        "i_reconnect",
        "j_http_surface",
        "k_ksampler_tiny",
    ],
)
async def test_what_was_recorded_is_answered_and_sent_alike(place: Place, name: str) -> None:
    check(await play(place, name), name)


@pytest.mark.parametrize("scenes", [("partial", "then full"), ("PreviewAny",), ("batch", "animated", "sens")])
async def test_partial_runs_and_other_outputs_are_alike(place: Place, scenes: tuple[str, ...]) -> None:
    check(await play(place, "m_lifecycle_misc", *scenes), f"m_{scenes[0]}")


def check(replay: Through, name: str) -> None:
    tolerated = TOLERATED.get(name, {})
    found: list[str] = []
    for index, exchange in enumerate(replay.exchanges):
        assert exchange.status < 500, f"{name} {index}: {exchange.path} is {exchange.status}"
        if index not in tolerated and differs(replay, exchange):
            expected = exchange.expected
            found.append(
                f"{index}: {exchange.path}: {expected['status']} {str(expected.get('body'))[:300]}"
                f" / {exchange.status} {exchange.body[:300]!r}"
            )
    for wire_name, wire in replay.wires.items():
        missing = unheard(replay, wire)
        if missing and name not in WIRES:
            found.append(f"{wire_name}: {missing}")
    assert found == []


def prompts_in(messages: list[Any]) -> set[str]:
    """Those of which something was told."""
    said = [one["data"] for one in messages if isinstance(one, dict)]
    return {str(data["prompt_id"]) for data in said if "prompt_id" in data}


def unheard(replay: Through, wire: Wire) -> list[str]:
    """Prompts of which something else was told, or in another order, than a real server told."""
    real = told(replay.real, replay.skipped, wire.expected)
    here = told(replay.here, replay.skipped, wire.received)
    # On coming back a real server does not say whose node it is that runs.
    nameless = real.pop("", [])
    different = [prompt for prompt, said in real.items() if here.get(prompt, [])[-len(said) :] != said]
    return (
        [f"{prompt}: {real[prompt]} / {here.get(prompt)}" for prompt in different] if nameless or different else []
    )


def differs(replay: Through, exchange: Exchange) -> bool:
    """Whether somebody who reads the answer would see a difference."""
    body = exchange.expected.get("body")
    if exchange.status != exchange.expected["status"]:
        return True
    if isinstance(body, dict) and ("_omitted" in body or "_head" in body):
        return False
    if isinstance(body, dict) and "b64" in body:
        return seen(exchange.body) != seen(base64.b64decode(str(body["b64"])))
    if exchange.status >= 400 and not isinstance(body, dict):
        return False  # the text of an error
    here, real = comparable(replay.here, exchange.decoded()), comparable(replay.real, body)
    same: bool = here == real
    return not same


def comparable(side: Side, body: Any) -> Any:
    """A body without what never is the same."""
    match body:
        case {"system": dict() as system, "devices": [dict() as device, *_]}:
            return sorted(system), sorted(device)
        case {"queue_running": running, "queue_pending": pending}:
            return sorted(str([*side.plain(item[1:])]) for item in [*running, *pending])
        case {"number": _, **rest}:
            return side.plain(rest)
        case dict() if body and all(isinstance(one, dict) and "prompt" in one for one in body.values()):
            return {
                side.name(prompt_id): {**side.plain(entry), "prompt": side.plain(entry["prompt"][1:])}
                for prompt_id, entry in body.items()
            }
        case _:
            return side.plain(body)


def seen(content: bytes) -> bytes:
    """Of a PNG its size and colours, of other pictures their kind, else the bytes: recordings cut them off."""
    if content.startswith(b"\x89PNG"):
        return content[:33]
    return content[:4] if content.startswith((b"\xff\xd8", b"RIFF")) else content


def told(side: Side, skipped: set[str], messages: list[Any]) -> dict[str, list[Any]]:
    """What a client steers by: for each prompt its types and nodes in their order, and which kinds of frames."""
    kept: dict[str, list[Any]] = {}
    now = ""
    for one in messages:
        if isinstance(one, bytes):
            brief: Any = frame(one)
        elif one["type"] in {"status", "progress_state", "feature_flags"} or is_step(one):
            continue
        else:
            now = one["data"].get("prompt_id", "")
            brief = (one["type"], one["data"].get("node"))
        said = kept.setdefault(side.name(now), [])
        if now not in skipped and (not said or said[-1] != brief):
            said.append(brief)
    return {prompt: said for prompt, said in kept.items() if said}


@pytest.mark.parametrize(
    "row", sorted({*ALWAYS, *WIRES.values(), *(row for rows in TOLERATED.values() for row in rows.values())})
)
def test_every_difference_that_is_tolerated_is_a_row_of_the_page(row: str) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {row}")]

    assert len(rows) == 1, f"docs/native-api.md has {len(rows)} rows that begin so"


async def test_what_breaks_a_server_is_refused_or_made_harmless(place: Place) -> None:
    base = await asyncio.to_thread(place.base_of, "hazards")
    async with aiohttp.ClientSession() as session:
        for request in hazards():
            async with session.post(f"{base}/prompt", data=json.dumps(request)) as answer:
                assert answer.status in {200, 400}, request

        assert await runs(session, base)
        assert await runs(session, place.server)


def hazards() -> list[Any]:
    """Bodies that ended or wedged a server, or might have; long ones are made here."""
    events = recording("l_hazards")
    sent = [event["body"] for event in events if event["kind"] == "http" and event["direction"] == "request"]
    good = sent[0]["prompt"]
    chain = {
        str(number): {"class_type": "ImageInvert", "inputs": {"image": [str(number - 1), 0]}}
        for number in range(10, 2_010)
    }
    dangling = {"prompt": {**good, "9": {"class_type": "ImageInvert", "inputs": {"image": ["77", 0]}}, **chain}}
    deep = {"class_type": "SaveImage", "inputs": {"images": ["2009", 0], "filename_prefix": "deep"}}
    valid = {"prompt": {"9": good["1"], **chain, "2": deep}}
    return [*sent, dangling, valid]


async def runs(session: aiohttp.ClientSession, base: str) -> bool:
    """Whether a good prompt runs to its end now."""
    async with session.post(f"{base}/prompt", json={"prompt": graphs.quick().json}) as answer:
        prompt_id = (await answer.json())["prompt_id"]
    async with asyncio.timeout(20):
        while True:
            async with session.get(f"{base}/history/{prompt_id}") as answer:
                entry = (await answer.json()).get(prompt_id)
            if entry:
                return bool(entry["status"]["completed"])
            await asyncio.sleep(0.05)
