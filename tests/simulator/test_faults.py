import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atelier.simulator.config import SimulatorConfig
from atelier.simulator.faults import KINDS
from support.asking import PATIENCE, Asker
from support.replay import simulated

SERVE = """
import asyncio
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import serve
config = SimulatorConfig(control=True)
asyncio.run(serve(config, "127.0.0.1", 0, ready=lambda host, port: print(port, flush=True)))
"""


def graph(color: int = 1) -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def sleeping(seconds: float, color: int = 1) -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color}},
        "2": {"class_type": "TestSleep", "inputs": {"value": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }


async def test_out_of_memory_fails_one_run_in_the_words_of_torch(asker: Asker) -> None:
    await asker.fault("out_of_memory", times=1)

    failed = await asker.run(graph(1))
    fine = await asker.run(graph(2))

    kind, data = failed["status"]["messages"][-1]
    assert (kind, data["exception_type"]) == ("execution_error", "torch.OutOfMemoryError")
    assert fine["status"]["status_str"] == "success"


async def test_a_wedged_server_answers_and_runs_nothing_until_it_is_freed(asker: Asker) -> None:
    await asker.fault("wedge")
    prompt_id = await asker.submit(graph())

    stuck = await asker.wait_until("/control/state", queue_remaining=1)
    queue = await asker.wait_until("/queue", queue_pending=[])
    await asker.post("/control/fault", {"off": True})
    entry = await asker.ended(prompt_id)

    assert stuck["executions"] == {}
    assert queue["queue_running"][0][1] == prompt_id
    assert entry["status"]["completed"]


async def test_a_stalled_server_lets_prompts_wait_while_nothing_runs(asker: Asker) -> None:
    await asker.fault("stall")
    prompt_id = await asker.submit(graph())
    await asyncio.sleep(0.1)

    queue = await asker.get("/queue")
    await asker.post("/control/fault", {"off": "stall"})
    entry = await asker.ended(prompt_id)

    assert queue["queue_running"] == []
    assert [item[1] for item in queue["queue_pending"]] == [prompt_id]
    assert entry["status"]["completed"]


async def test_a_stuck_prompt_hears_no_interrupt_until_the_fault_is_off(asker: Asker) -> None:
    await asker.fault("stuck")
    prompt_id = await asker.submit(sleeping(60.0))
    await asker.wait_until("/control/state", executions={prompt_id: 1})

    await asker.post("/interrupt", {"prompt_id": prompt_id})
    await asyncio.sleep(0.3)
    queue = await asker.get("/queue")
    await asker.post("/control/fault", {"off": "stuck"})
    entry = await asker.ended(prompt_id)

    assert [item[1] for item in queue["queue_running"]] == [prompt_id]
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def test_after_a_cuda_fault_every_node_on_the_gpu_fails_whatever_is_switched_off(asker: Asker) -> None:
    def on_the_gpu(color: int) -> dict[str, Any]:
        return {
            **graph(color),
            "3": {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": 1, "sigma": 1.0}},
            "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
        }

    before = await asker.run(on_the_gpu(1))
    await asker.fault("cuda_fault", times=1)

    first = await asker.run(on_the_gpu(2))
    await asker.post("/control/fault", {"off": True})
    second = await asker.run(on_the_gpu(3))
    without_gpu = await asker.run(graph(8))

    assert before["status"]["completed"]
    for failed in (first, second):
        assert "CUDA error" in failed["status"]["messages"][-1][1]["exception_message"]
    assert without_gpu["status"]["completed"]


async def test_on_a_full_disk_nothing_is_saved_and_nothing_uploaded(asker: Asker) -> None:
    await asker.fault("disk_full", times=2)

    failed = await asker.run(graph(1))
    form = aiohttp.FormData()
    form.add_field("image", b"x", filename="x.png")
    async with asker.session.post(f"{asker.base}/upload/image", data=form) as response:
        refused = response.status
    fine = await asker.run(graph(2))

    data = failed["status"]["messages"][-1][1]
    assert data["exception_type"] == "OSError"
    assert data["exception_message"].startswith("[Errno 28] No space left on device")
    assert refused == 500
    assert fine["status"]["completed"]


async def test_a_server_may_lose_its_models_and_find_them_again(asker: Asker) -> None:
    loading = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "simulated_xl.safetensors"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    await asker.fault("lose_models")

    status, answer = await asker.post("/prompt", {"prompt": loading})
    await asker.post("/control/fault", {"off": "lose_models"})
    found, _ = await asker.post("/prompt", {"prompt": loading})

    assert (status, found) == (400, 200)
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "value_not_in_list"


def test_every_fault_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")
    rows = [line for line in page.partition("\n## Faults")[2].splitlines() if line.startswith("| `")]

    assert sorted(row.split("`")[1] for row in rows) == sorted(KINDS)


async def test_a_500_can_mean_that_the_prompt_was_queued(asker: Asker) -> None:
    await asker.fault("error_after_enqueue", times=1)

    status, text = await asker.post("/prompt", {"prompt": graph(), "prompt_id": "mine"})

    assert status == 500
    assert text.startswith("500 Internal Server Error")
    assert (await asker.ended("mine"))["status"]["completed"]


async def test_history_can_be_lost(asker: Asker) -> None:
    first = await asker.submit(graph(1))
    await asker.ended(first)
    await asker.fault("lose_history", times=1)

    second = await asker.submit(graph(2))
    await asker.wait_until("/control/state", queue_remaining=0, faults=[])

    assert await asker.get(f"/history/{first}") == {}
    assert await asker.get(f"/history/{second}") == {}
    assert (await asker.run(graph(3)))["status"]["completed"]


async def test_an_output_can_be_missing(asker: Asker) -> None:
    [file] = (await asker.run(graph()))["outputs"]["2"]["images"]
    await asker.fault("view_missing", times=1)

    async with asker.session.get(f"{asker.base}/view", params=file) as response:
        missing = response.status

    assert missing == 404
    assert (await asker.picture(file)).size == (8, 8)


async def test_a_slow_server_takes_longer_for_each_node(asker: Asker) -> None:
    await asker.fault("slow", delay=30.0)
    prompt_id = await asker.submit(graph())
    await asker.wait_until("/control/state", executions={prompt_id: 1})

    await asker.post("/interrupt", {})
    entry = await asker.ended(prompt_id)

    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def test_a_dropped_socket_ends_without_a_close_frame(asker: Asker) -> None:
    async with asker.session.ws_connect(f"{asker.base}/ws?clientId=a") as ws:
        await ws.receive_json(timeout=PATIENCE)
        await asker.fault("drop_socket")
        message = await ws.receive(timeout=PATIENCE)

    assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
    assert ws.close_code == 1006


async def test_a_server_may_have_no_socket(asker: Asker) -> None:
    await asker.fault("no_socket")

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await asker.session.ws_connect(f"{asker.base}/ws")

    assert refused.value.status == 404


async def test_an_unknown_fault_is_refused(asker: Asker) -> None:
    status, answer = await asker.post("/control/fault", {"fault": "laziness"})

    assert status == 400
    assert "die" in answer["error"]


async def test_nobody_can_break_a_server_that_was_not_started_for_it(config: SimulatorConfig) -> None:
    async with simulated(SimulatorConfig(directory=config.directory)) as base, aiohttp.ClientSession() as session:
        asker = Asker(session, base)

        status, _ = await asker.post("/control/fault", {"fault": "wedge"})

    assert status == 405


@pytest.mark.parametrize("how", ["die", "terminate"])
async def test_a_server_that_dies_cuts_its_sockets(how: str) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(await asyncio.to_thread(process.stdout.readline))
            async with aiohttp.ClientSession() as session:
                asker = Asker(session, f"http://127.0.0.1:{port}")
                async with session.ws_connect(f"{asker.base}/ws?clientId=a") as ws:
                    await ws.receive_json(timeout=PATIENCE)
                    if how == "die":
                        await asker.fault("die", delay=0.05)
                    else:
                        process.send_signal(signal.SIGTERM)
                    await ws.receive(timeout=PATIENCE)
        finally:
            process.kill()

    assert ws.close_code == 1006
    assert process.returncode == (137 if how == "die" else -signal.SIGTERM)


HAZARDS: dict[str, dict[str, Any]] = {
    "client_id a list": {"client_id": []},
    "client_id an object": {"client_id": {}},
    "client_id a number": {"client_id": 7},
    "extra_data null": {"extra_data": None},
    "extra_data text": {"extra_data": "abc"},
    "unconnected node without inputs": {"prompt": {**graph(), "9": {"class_type": "EmptyImage"}}},
    "unconnected node that links nowhere": {
        "prompt": {**graph(), "9": {"class_type": "ImageInvert", "inputs": {"image": ["77", 0]}}}
    },
    "undeclared link to nowhere": {
        "prompt": {
            "1": {**graph()["1"], "inputs": {**graph()["1"]["inputs"], "foo": ["77", 0]}},
            "2": graph()["2"],
        }
    },
    "unconnected chain of 2000": {
        "prompt": {
            **graph(),
            **{f"c{n}": {"class_type": "ImageInvert", "inputs": {"image": [f"c{n - 1}", 0]}} for n in range(2000)},
        }
    },
    "a file name that no file can have": {
        "prompt": {**graph(), "1": {"class_type": "LoadImage", "inputs": {"image": "x" * 5000}}}
    },
    "an unconnected file that is not there": {
        "prompt": {**graph(), "9": {"class_type": "LoadImage", "inputs": {"image": "\0"}}}
    },
    "not a number": {"number": float("nan")},
}


@pytest.mark.parametrize("more", HAZARDS.values(), ids=HAZARDS.keys())
async def test_what_kills_a_real_server_does_no_harm_here(asker: Asker, more: dict[str, Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        await asker.post("/prompt", {"prompt": graph(), **more})
        await asker.wait_until("/prompt", exec_info={"queue_remaining": 0})

        entry = await asker.run(graph(99))

    assert entry["status"]["completed"]


async def test_equal_number_and_id_do_not_stop_the_queue(asker: Asker) -> None:
    first = await asker.submit(sleeping(0.2))
    for color in (1, 2, 3):
        await asker.submit(graph(color), number=5, prompt_id="same")

    await asker.ended(first)
    await asker.wait_until("/prompt", exec_info={"queue_remaining": 0})

    assert (await asker.get("/control/state"))["executions"]["same"] == 3
