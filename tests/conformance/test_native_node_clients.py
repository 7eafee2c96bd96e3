"""JavaScript clients of ComfyUI that other people wrote run unmodified: one run of `native_node/drive.mjs`."""

import base64
import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from conformance import graphs
from conformance.installation import Installation, environment
from conformance.node_sdk import NATIVE, installed

pytestmark = pytest.mark.timeout(300)

PNG = "89504e47"
Seen = Mapping[str, Any]


@pytest.fixture(scope="session")
def everything(atelier: Installation) -> Mapping[str, Seen]:
    packages = installed(NATIVE)
    wrong = dict(graphs.quick().json)
    wrong["1"]["inputs"]["width"] = 1_000_000
    given = {
        "clients": ["saintno", "stableCanvas"],
        "url": atelier.url,
        "key": atelier.key,
        "quick": graphs.quick().json,
        "slow": {"graph": graphs.slow(steps=30).json, "again": graphs.slow(steps=30).json, "output": "7"},
        "failing": graphs.failing().json,
        "wrong": wrong,
        "endless": graphs.endless().json,
        "inverted": graphs.inverted("").json,
        "png": base64.b64encode(graphs.png((255, 0, 0))).decode(),
        "color": 0x123456,
    }
    done = subprocess.run(
        [str(packages.node), str(NATIVE / "drive.mjs"), str(packages.folder)],
        input=json.dumps(given),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Seen] = json.loads(done.stdout)
    return seen


def answer(everything: Mapping[str, Seen], client: str, scenario: str) -> Any:
    seen = everything[client]
    assert "crashed" not in seen, seen["crashed"]
    return seen[scenario]


def test_saintno_runs_with_progress_and_previews(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "saintno", "run")

    assert seen["started"]
    assert seen["magic"] == PNG
    assert seen["previews"] > 0
    assert seen["progress"] == sorted(seen["progress"])
    assert len(seen["progress"]) > 1


def test_saintno_uploads_and_uses_what_it_uploaded(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "saintno", "upload")

    assert seen["name"] == "saintno.png"
    assert graphs.pixel(base64.b64decode(seen["inverted"])) == (0, 255, 255)


def test_saintno_tells_failures_refusals_and_interrupts_apart(everything: Mapping[str, Seen]) -> None:
    failed = answer(everything, "saintno", "failed")
    refused = answer(everything, "saintno", "refused")
    interrupted = answer(everything, "saintno", "interrupted")

    assert failed == {"result": False, "said": "RuntimeError"}
    assert refused == {
        "result": False,
        "said": "Failed to queue prompt",
        "why": "prompt_outputs_failed_validation",
    }
    assert interrupted == {"result": False, "said": "The execution was interrupted!"}


def test_saintno_reads_what_a_server_has(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "saintno", "reads")

    assert "supports_preview_metadata" in seen["features"]
    assert "simulated_xl.safetensors" in seen["checkpoints"]
    assert seen["queue"] == {"queue_running": [], "queue_pending": []}
    assert (seen["histories"], seen["samplers"], seen["system"]) == (3, True, True)
    assert seen["nodes"] == ["SaveImage"]


def test_stable_canvas_runs_by_socket_by_polling_and_from_code(everything: Mapping[str, Seen]) -> None:
    run = answer(everything, "stableCanvas", "run")

    assert (run["magic"], run["prompt"]) == (PNG, "string")
    assert run["values"] == sorted(run["values"])
    assert answer(everything, "stableCanvas", "polled") == {"magic": PNG}
    assert answer(everything, "stableCanvas", "built") == {"magic": PNG}


def test_stable_canvas_is_told_of_failures_refusals_and_interrupts(everything: Mapping[str, Seen]) -> None:
    assert "Intentional sync execution error" in answer(everything, "stableCanvas", "failed")
    assert "400 Bad Request" in answer(everything, "stableCanvas", "refused")
    assert answer(everything, "stableCanvas", "interrupted") == "execution_interrupted"


def test_stable_canvas_reads_what_a_server_has(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "stableCanvas", "reads")

    assert (seen["extensions"], seen["system"], seen["nodes"]) == (True, True, True)


def test_the_lock_names_no_registry() -> None:
    lock = (NATIVE / "package-lock.json").read_text()

    assert "resolved" not in lock
    assert "registry" not in lock
