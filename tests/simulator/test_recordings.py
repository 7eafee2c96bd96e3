"""What a real server answered and sent, the simulated one answers and sends."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atelier.simulator.config import SimulatorConfig
from support.replay import Exchange, Replay, Side, Wire, is_step, pixels, recording, simulated, texts

ONE_AT_A_TIME = ["a_success", "b_upload_load_scale_save", "c_cached_repeat", "d_validation", "k_ksampler_tiny"]
UNSTEADY = dict.fromkeys(("f_interrupt_delete", "g_queue_order"), frozenset({"status", "progress_state"}))
"""Recordings that were thinned of steps; when a status comes between two prompts' messages is chance anyway."""
INTERLEAVED = ["e_execution_error", "f_interrupt_delete", "g_queue_order", "h_binary_frames", "i_reconnect"]


async def play(name: str, folder: Path, *scenes: str, previews: bool = False) -> Replay:
    checkpoints = ("tinyrand_A.safetensors", "other") if name.startswith("k_") else ()
    config = SimulatorConfig(directory=folder, checkpoints=checkpoints, previews=previews, step_seconds=0.02)
    async with simulated(config) as base, aiohttp.ClientSession() as session:
        replay = Replay(session, base)
        if name.startswith("k_"):
            await leave_a_latent_in_the_cache(session, base)
        await replay.play(recording(name, scenes))
    return replay


async def leave_a_latent_in_the_cache(session: aiohttp.ClientSession, base: str) -> None:
    """The recorded server had made an empty latent of that size before."""
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "other"}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "3": {"class_type": "VAEDecode", "inputs": {"samples": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }
    async with session.post(f"{base}/prompt", json={"prompt": graph}) as response:
        assert response.status == 200
    async with asyncio.timeout(10):
        while True:
            async with session.get(f"{base}/prompt") as response:
                if (await response.json())["exec_info"]["queue_remaining"] == 0:
                    return
            await asyncio.sleep(0.005)


def sent(side: Side, messages: list[Any], ignored: frozenset[str], skipped: set[str]) -> list[Any]:
    """Messages in order, frames as their kind, without ignored types and skipped prompts."""
    return [
        frame(message) if isinstance(message, bytes) else side.plain(message)
        for message in messages
        if isinstance(message, bytes)
        or (
            message["type"] not in ignored
            and message["data"].get("prompt_id") not in skipped
            and not is_tick(message)
        )
    ]


def frame(message: bytes) -> tuple[int, int]:
    """Event type, and the image format of the old layout."""
    kind = int.from_bytes(message[:4], "big")
    return kind, int.from_bytes(message[4:8], "big") if kind == 1 else 0


def is_tick(message: dict[str, Any]) -> bool:
    """A waiting node tells the time at its own rate: no two runs tell it equally often."""
    match message:
        case {"type": "progress", "data": {"value": float()}}:
            return True
        case {"type": "progress_state", "data": {"nodes": nodes}}:
            return is_step(message) and any(isinstance(one["value"], float) for one in running(nodes))
        case _:
            return False


def running(nodes: dict[str, Any]) -> list[Any]:
    return [node for node in nodes.values() if node["state"] == "running"]


def check_wire(replay: Replay, wire: Wire, *, ignored: frozenset[str] = frozenset()) -> None:
    expected = steady(sent(replay.real, wire.expected, ignored, replay.skipped))
    received = steady(sent(replay.here, wire.received, ignored, replay.skipped))

    assert received[: len(expected)] == expected


def steady(messages: list[Any]) -> list[Any]:
    """Without the steps of a prompt that was interrupted: how many it takes is chance."""
    stopped = {
        one["data"]["prompt_id"]
        for one in messages
        if isinstance(one, dict) and one["type"] == "execution_interrupted"
    }
    kept: list[Any] = []
    now = None
    for one in messages:
        if isinstance(one, dict):
            now = one["data"].get("prompt_id", now)
        if not (now in stopped and (isinstance(one, tuple) or is_step(one))):
            kept.append(one)
    return kept


def check_exchange(replay: Replay, exchange: Exchange) -> None:
    expected = exchange.expected
    assert exchange.status == expected["status"], exchange.path
    body = expected.get("body")
    if isinstance(body, dict) and "b64" in body:
        check_file(exchange, base64.b64decode(body["b64"]))
    elif not (isinstance(body, dict) and ("_omitted" in body or "_head" in body)):
        assert numbered(replay.here, exchange.decoded()) == numbered(replay.real, body), exchange.path


def numbered(side: Side, body: Any) -> Any:
    """The body with its prompt numbers counted from the first of the recording, queues sorted as they will run."""
    match body:
        case {"number": number, **rest}:
            return {"number": side.number(number), **side.plain(rest)}
        case {"queue_running": running, "queue_pending": pending}:
            return [
                sorted([side.number(item[0]), *side.plain(item[1:])] for item in items)
                for items in (running, pending)
            ]
        case {"system": dict() as system, "devices": [dict() as device]}:
            return [list(system), list(device)]
        case dict() if body and all(isinstance(one, dict) and "prompt" in one for one in body.values()):
            return {
                side.name(prompt_id): {**side.plain(entry), "prompt": [side.number(entry["prompt"][0])]}
                for prompt_id, entry in body.items()
            }
        case _:
            return side.plain(body)


def check_file(exchange: Exchange, expected: bytes) -> None:
    if exchange.status == 206:
        assert exchange.body == expected
    elif expected.startswith(b"\x89PNG") and "preview" not in exchange.path:
        assert pixels(exchange.body) == pixels(expected)
        assert texts(exchange.body) == texts(expected)
    elif expected.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF")):
        assert pixels(exchange.body)[:2] == pixels(expected)[:2]
    else:
        assert exchange.body == expected


@pytest.mark.parametrize("name", ONE_AT_A_TIME)
async def test_prompts_one_at_a_time_give_the_same_messages_in_the_same_order(name: str, tmp_path: Path) -> None:
    replay = await play(name, tmp_path, previews=name.startswith("k_"))

    for wire in replay.wires.values():
        check_wire(replay, wire)
    for exchange in replay.exchanges:
        check_exchange(replay, exchange)


@pytest.mark.parametrize("name", INTERLEAVED)
async def test_prompts_that_wait_and_stop_give_the_same_messages(name: str, tmp_path: Path) -> None:
    replay = await play(name, tmp_path)

    for wire in replay.wires.values():
        check_wire(replay, wire, ignored=UNSTEADY.get(name, frozenset({"status"})))
    for exchange in replay.exchanges:
        if not any(prompt_id in exchange.path for prompt_id in replay.skipped):
            check_exchange(replay, exchange)


@pytest.mark.parametrize(
    "scenes", [("partial", "then full"), ("PreviewAny",), ("batch", "animated", "wrong", "sens")]
)
async def test_partial_runs_and_other_outputs_give_the_same(scenes: tuple[str, ...], tmp_path: Path) -> None:
    replay = await play("m_lifecycle_misc", tmp_path, *scenes)

    for wire in replay.wires.values():
        check_wire(replay, wire)
    for exchange in replay.exchanges:
        check_exchange(replay, exchange)


async def test_the_http_surface_answers_alike(tmp_path: Path) -> None:
    replay = await play("j_http_surface", tmp_path)

    for exchange in replay.exchanges:
        check_exchange(replay, exchange)
        told = exchange.expected.get("headers", {}).items()
        assert {name: exchange.headers.get(name) for name, _ in told} == dict(told), exchange.path
