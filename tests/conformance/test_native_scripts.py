"""Scripts as users of ComfyUI write them work against Atelier: all that changes is the server's address.

Where a script cannot send a key, the address ends with /k/{key}; each runs in a process of its own.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance import graphs
from conformance.installation import Installation, environment

SCRIPTS = Path(__file__).parent / "scripts"
PATIENCE = 60
PNG = "89504e47"


@pytest.fixture
def address(atelier: Installation) -> str:
    """Host and port, and a key in the path: what stands in a script for 127.0.0.1:8188."""
    return f"{atelier.url.removeprefix('http://')}/k/{atelier.key}"


@pytest.fixture
def given(tmp_path: Path) -> "Given":
    return Given(tmp_path)


class Given:
    """Files that a script reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, content: Mapping[str, Any]) -> str:
        path = self._folder / "given.json"
        path.write_text(json.dumps(content))
        return str(path)


def run(script: str, *arguments: str) -> Any:
    """What the script prints, as JSON."""
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def sent_by_socket() -> dict[str, Any]:
    """EmptyImage -> SaveImageWebsocket."""
    graph = dict(graphs.quick().json)
    graph["2"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    return graph


def test_the_socket_tells_everything_and_history_is_there_when_it_has_ended(address: str, given: Given) -> None:
    seen = run("websocket_api", address, given.file(graphs.slow(steps=6).json))

    assert seen["seen"][0] == "status"
    order = [kind for kind in seen["seen"] if kind not in {"status", "progress_state", "progress"}]
    assert order[:2] == ["execution_start", "execution_cached"]
    assert order[-2:] == ["execution_success", "executing"]
    assert "progress" in seen["seen"]
    assert seen["status"]["status_str"] == "success"
    assert [event for event, _ in seen["status"]["messages"]][-1] == "execution_success"
    assert seen["png"] == [PNG]


def test_a_name_is_what_the_graph_asked_for(address: str, given: Given) -> None:
    graph = dict(graphs.quick().json)
    graph["2"]["inputs"]["filename_prefix"] = "mine"

    seen = run("websocket_api", address, given.file(graph))

    assert [name.startswith("mine_") and name.endswith(".png") for name in seen["names"]] == [True]


def test_pictures_of_the_socket_saver_come_as_frames(address: str, given: Given) -> None:
    assert run("websocket_images", address, given.file(sent_by_socket())) == {"2": [PNG]}


def test_a_script_without_socket_finds_its_history(address: str, given: Given) -> None:
    seen = run("without_socket", address, given.file(graphs.quick().json))

    assert seen == {"status": "success", "png": [PNG]}


def test_a_batch_that_nobody_watches_is_in_the_history_in_its_order(atelier: Installation, given: Given) -> None:
    server = atelier.url.removeprefix("http://")

    seen = run("batch", server, atelier.key, given.file(graphs.quick().json))

    assert seen["numbers"] == sorted(seen["numbers"])
    assert sorted(name.split("_")[0] for name in seen["names"]) == [f"batch{number}" for number in range(5)]


def test_a_painting_program_gets_its_own_id_and_its_picture(atelier: Installation, given: Given) -> None:
    seen = run("painting", atelier.url, atelier.key, given.file(sent_by_socket()), "run")

    assert seen["echoed"]
    assert seen["images"] == 1
    assert seen["states"][0] == "execution_start"
    assert seen["states"][-2:] == ["execution_success", "executing"]


def test_a_painting_program_stops_what_it_runs_without_naming_it(atelier: Installation, given: Given) -> None:
    seen = run("painting", atelier.url, atelier.key, given.file(graphs.endless().json), "interrupt")

    assert seen["states"][-1] == "execution_interrupted"
    assert "execution_error" not in seen["states"]


def test_one_socket_per_prompt_sees_flagged_previews_and_forgets_its_history(
    atelier: Installation, given: Given
) -> None:
    graph = given.file(graphs.slow(steps=30).json)

    seen = run("one_socket_per_prompt", atelier.url, atelier.key, graph, "run")

    assert "feature_flags" in seen["kinds"]
    assert seen["frames"] == [4]
    assert seen["status"]["status_str"] == "success"
    assert seen["left"] == {}


def test_one_socket_per_prompt_interrupts_by_id(atelier: Installation, given: Given) -> None:
    graph = given.file(graphs.endless().json)

    seen = run("one_socket_per_prompt", atelier.url, atelier.key, graph, "interrupt")

    assert (seen["status"]["status_str"], seen["status"]["completed"]) == ("error", False)
    assert seen["status"]["messages"][-1][0] == "execution_interrupted"
    assert seen["kinds"].count("execution_interrupted") == 1


def test_a_worker_uploads_runs_and_reads(address: str, given: Given) -> None:
    image = {"name": "worker.png", "image": base64.b64encode(graphs.png((0, 0, 255))).decode()}
    job = {"workflow": graphs.inverted("worker.png").json, "images": [image]}

    seen = run("worker", address, given.file(job))

    assert [graphs.pixel(base64.b64decode(one)) for one in seen["images"]] == [(255, 255, 0)]
    assert seen["errors"] == []


def test_a_worker_is_told_what_failed(address: str, given: Given) -> None:
    seen = run("worker", address, given.file({"workflow": graphs.failing().json}))

    assert seen["images"] == []
    assert "Intentional sync execution error" in seen["errors"][0]


def test_a_worker_is_told_what_is_wrong_with_its_graph(address: str, given: Given) -> None:
    graph = dict(graphs.quick().json)
    graph["1"]["inputs"]["width"] = 1_000_000

    seen = run("worker", address, given.file({"workflow": graph}))

    assert seen["error"] == "prompt_outputs_failed_validation"
    assert seen["nodes"]["1"]["errors"][0]["type"] == "value_bigger_than_max"
