import signal
import socket
import stat
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no stubs
import pytest

from support.terminal import Terminal, ready_line, stopped

pytestmark = pytest.mark.timeout(120)

GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 7}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}


def _children(pid: int) -> list[Any]:
    return list(psutil.Process(pid).children(recursive=True))


async def _answers(url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/system_stats") as reply:
        assert reply.status == 200


async def _one_more_job(url: str, key: str) -> list[str]:
    """Submit one; gives the ids of all jobs, newest first."""
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {key}"}) as http:
        async with http.post("/api/v2/jobs", json={"workflow": GRAPH}) as reply:
            assert reply.status == 201
        async with http.get("/api/v2/jobs") as reply:
            return [job["id"] for job in (await reply.json())["jobs"]]


async def test_up_takes_jobs_when_it_says_so_and_stops_everything_it_started(terminal: Terminal) -> None:
    key_file = terminal.folder / "key"

    process = await terminal.start("up", "--json", "--port", "0", "--simulate", "1", "--key-file", str(key_file))
    ready = await ready_line(process)
    headers = {"Authorization": f"Bearer {key_file.read_text().strip()}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{ready['url']}/api/v2/jobs") as reply:
        status = reply.status
    started = _children(process.pid)
    ended = await stopped(process)

    assert ready == {"ready": True, "url": ready["url"], "servers": ready["servers"], "pid": process.pid}
    assert [server["id"] for server in ready["servers"]] == ["sim-1"]
    assert status == 200
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert (ended.code, ended.out) == (0, "")
    assert started
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


async def test_keys_and_jobs_outlive_a_restart(terminal: Terminal) -> None:
    keys: list[str] = []
    jobs: list[list[str]] = []
    for number in range(2):
        process = await terminal.start("up", "--json", "--port", "0", "--simulate", "1", "--key-file", str(number))
        ready = await ready_line(process)
        await _answers(ready["servers"][0]["url"])
        keys.append((terminal.folder / str(number)).read_text().strip())
        jobs.append(await _one_more_job(str(ready["url"]), keys[-1]))
        await stopped(process, signal.SIGINT)

    assert keys[0] == keys[1]
    assert (len(jobs[0]), jobs[1][1:]) == (1, jobs[0])
    assert (terminal.folder / ".atelier").is_dir()


async def test_a_taken_port_is_one_sentence_and_nothing_is_left_half_started(terminal: Terminal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        ended = await terminal.run("up", "--port", str(taken.getsockname()[1]))

    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "choose another port with --port" in ended.err
    assert not (terminal.folder / ".atelier").exists()


async def test_a_second_up_in_one_state_folder_is_one_sentence_and_disturbs_nothing(terminal: Terminal) -> None:
    first = await terminal.start("up", "--json", "--port", "0", "--simulate", "1")
    ready = await ready_line(first)

    second = await terminal.run("up", "--port", "0", "--simulate", "1")

    await _answers(ready["servers"][0]["url"])
    await stopped(first)
    assert (second.code, second.err.count("\n")) == (1, 1)
    assert f"process {first.pid}" in second.err
    assert "--state" in second.err


async def test_servers_that_do_not_answer_are_one_sentence_and_nothing_is_left(terminal: Terminal) -> None:
    ended = await terminal.run("up", "--port", "0", "--comfyui", "http://127.0.0.1:1")

    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "http://127.0.0.1:1" in ended.err
    assert not (terminal.folder / ".atelier").exists()


async def test_a_state_folder_that_cannot_be_written_is_one_sentence(terminal: Terminal) -> None:
    (terminal.folder / "file").touch()

    ended = await terminal.run("up", "--port", "0", "--state", "file/state")

    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "--state" in ended.err


async def test_the_demo_makes_a_picture_with_the_official_sdk_and_one_by_a_workflow(terminal: Terminal) -> None:
    ended = await terminal.run("demo", "--once", "--port", "0")

    pictures = list((terminal.folder / "out").glob("*.png"))
    assert ended.code == 0, ended.err
    assert len(pictures) == 2
    assert all(str(picture) in ended.out for picture in pictures)
    for word in ("accepted", "ran", "/api/v1/generate", "address", "key", "curl", "COMFY_BASE_URL", "jobs list"):
        assert word in ended.out


async def test_the_demo_chooses_a_plain_image_where_there_is_no_checkpoint(
    terminal: Terminal, simulator_url: str
) -> None:
    ended = await terminal.run("demo", "--once", "--port", "0", COMFYUI_URLS=simulator_url)

    pictures = list((terminal.folder / "out").glob("*.png"))
    assert ended.code == 0, ended.err
    assert len(pictures) == 1
    assert b"SIMULATED" not in pictures[0].read_bytes()
    assert "COMFYUI_URLS is read as ATELIER_COMFYUI_URLS" in ended.err


async def test_the_demo_stays_until_it_is_stopped(terminal: Terminal) -> None:
    process = await terminal.start("demo", "--port", "0", "--out", str(Path("pictures")))
    assert process.stdout is not None
    while b"Ctrl-C stops it" not in await process.stdout.readline():
        assert process.returncode is None

    ended = await stopped(process, signal.SIGINT)

    assert ended.code == 0, ended.err
    assert list((terminal.folder / "pictures").glob("*.png"))
