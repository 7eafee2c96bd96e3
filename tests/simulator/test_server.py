from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from atelier.simulator.config import SimulatorConfig
from support.asking import PATIENCE, Asker
from support.replay import simulated


def graph(color: int = 1, prefix: str = "x") -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


def sampled(steps: int = 3) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "simulated_xl.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "x", "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {
            "class_type": "KSamplerAdvanced",
            "inputs": {
                "model": ["1", 0],
                "add_noise": "enable",
                "noise_seed": 1,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "positive": ["2", 0],
                "negative": ["2", 0],
                "latent_image": ["4", 0],
                "start_at_step": 0,
                "end_at_step": 10000,
                "return_with_leftover_noise": "disable",
            },
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}},
    }


@pytest.fixture
async def showing(config: SimulatorConfig) -> AsyncGenerator[Asker]:
    """A server that sends previews."""
    async with simulated(replace(config, previews=True)) as base, aiohttp.ClientSession() as session:
        yield Asker(session, base)


async def test_a_repeated_prompt_keeps_its_file_until_the_cache_is_freed(asker: Asker) -> None:
    first = await asker.run(graph())
    repeated = await asker.run(graph())
    await asker.post("/free", {"free_memory": True})
    after = await asker.run(graph())

    assert repeated["outputs"] == first["outputs"]
    assert repeated["status"]["messages"][1][1]["nodes"] == ["1", "2"]
    assert after["outputs"]["2"]["images"][0]["filename"] == "x_00002_.png"


async def test_its_folder_may_be_named_in_a_roundabout_way(tmp_path: Path) -> None:
    roundabout = tmp_path / "inner" / ".." / "comfy"

    async with simulated(SimulatorConfig(directory=roundabout)) as base, aiohttp.ClientSession() as session:
        entry = await Asker(session, base).run(graph(prefix="below/x"))

    assert entry["outputs"]["2"]["images"][0]["subfolder"] == "below"


async def test_only_what_the_last_prompt_used_is_kept(asker: Asker) -> None:
    await asker.run(graph(1))
    await asker.run(graph(2))

    entry = await asker.run(graph(1))

    assert entry["status"]["messages"][1][1]["nodes"] == []


async def test_a_changed_input_file_is_seen(asker: Asker) -> None:
    loading = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}, "2": graph()["2"]}
    await asker.upload("a.png", Image.new("RGB", (4, 4), "red"))
    await asker.run(loading)
    await asker.upload("a.png", Image.new("RGB", (4, 4), "blue"), overwrite="true")

    [picture] = await asker.pictures(loading)

    assert picture.getpixel((0, 0)) == (0, 0, 255)


async def test_history_is_cut_from_either_end(asker: Asker) -> None:
    ids = [await asker.submit(graph(color)) for color in range(4)]
    await asker.ended(ids[-1])

    assert list(await asker.get("/history", max_items=2)) == ids[2:]
    assert list(await asker.get("/history", max_items=2, offset=1)) == ids[1:3]
    assert list(await asker.get("/history")) == ids


async def test_previews_reach_a_socket_that_asked_for_metadata_as_type_4(showing: Asker) -> None:
    async with showing.session.ws_connect(f"{showing.base}/ws?clientId=a") as ws:
        await ws.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        await ws.receive_json(timeout=PATIENCE)
        await ws.receive_json(timeout=PATIENCE)
        await showing.submit(sampled(steps=3), client_id="a")
        frames = await frames_until_the_end(ws)

    assert [int.from_bytes(frame[:4], "big") for frame in frames] == [4, 4, 4]
    assert b'"image_type": "image/jpeg"' in frames[0]


async def test_previews_reach_an_old_socket_as_type_1(showing: Asker) -> None:
    async with showing.session.ws_connect(f"{showing.base}/ws?clientId=a") as ws:
        await showing.submit(sampled(steps=2), client_id="a")
        frames = await frames_until_the_end(ws)

    assert [frame[:8] for frame in frames] == [bytes((0, 0, 0, 1, 0, 0, 0, 1))] * 2


async def test_progress_in_words_is_a_type_3_frame(asker: Asker) -> None:
    sized = {
        "1": graph()["1"],
        "22": {"class_type": "GetImageSize", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["22", 0]}},
    }
    async with asker.session.ws_connect(f"{asker.base}/ws?clientId=a") as ws:
        await asker.submit(sized, client_id="a")
        frames = await frames_until_the_end(ws)

    assert frames == [bytes((0, 0, 0, 3, 0, 0, 0, 2)) + b"22" + b"width: 8, height: 8\n batch size: 1"]


async def frames_until_the_end(ws: aiohttp.ClientWebSocketResponse) -> list[bytes]:
    frames: list[bytes] = []
    while True:
        message = await ws.receive(timeout=PATIENCE)
        if message.type is aiohttp.WSMsgType.BINARY:
            frames.append(message.data)
        elif '"node": null' in message.data:
            return frames


async def test_the_server_says_that_it_is_simulated(asker: Asker) -> None:
    stats = await asker.get("/system_stats")

    assert stats["devices"][0]["name"].startswith("SIMULATED")
    assert "simulate" in stats["system"]["argv"]


async def test_every_route_also_exists_under_api(asker: Asker) -> None:
    for path in ("/prompt", "/queue", "/history", "/object_info/SaveImage", "/models", "/features", "/users"):
        assert await asker.get(path) == await asker.get(f"/api{path}")


async def test_a_body_over_the_limit_is_refused(config: SimulatorConfig) -> None:
    small = replace(config, max_upload_bytes=1000)
    async with simulated(small) as base, aiohttp.ClientSession() as session:
        status, _ = await Asker(session, base).post("/prompt", {"prompt": {}, "padding": "x" * 2000})

    assert status == 413


async def test_object_info_lists_what_was_uploaded(asker: Asker) -> None:
    form = aiohttp.FormData()
    form.add_field("image", b"x", filename="mine.png")
    await asker.session.post(f"{asker.base}/upload/image", data=form)

    info = await asker.get("/object_info/LoadImage")

    assert info["LoadImage"]["input"]["required"]["image"][0] == ["mine.png"]
