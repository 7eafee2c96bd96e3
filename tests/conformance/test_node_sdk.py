"""The official TypeScript SDK, unmodified, in a Node process: one run of `node/drive.mjs`, judged in pieces."""

import base64
import json
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance import graphs
from conformance.installation import Installation, environment
from conformance.node_sdk import PROJECT, installed

pytestmark = pytest.mark.timeout(240)

Seen = Mapping[str, Any]


@pytest.fixture(scope="session")
def everything(atelier: Installation, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Seen]:
    sdk = installed()
    given = {
        "key": atelier.key,
        "run": uuid.uuid4().hex,
        "quick": graphs.quick().json,
        "slow": graphs.slow().json,
        "failing": graphs.failing().json,
        "inverted": graphs.inverted(None).json,
        "png": base64.b64encode(graphs.png((255, 0, 0))).decode(),
    }
    done = subprocess.run(
        [str(sdk.node), str(PROJECT / "drive.mjs"), str(sdk.folder), str(tmp_path_factory.mktemp("node"))],
        input=json.dumps(given),
        env=environment() | {"COMFY_BASE_URL": atelier.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Seen] = json.loads(done.stdout)
    return seen


def answer(everything: Mapping[str, Seen], scenario: str) -> Any:
    seen = everything[scenario]
    assert "answer" in seen, seen["crashed"]
    return seen["answer"]


def test_run_gives_the_picture_whole_and_in_parts(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "run")

    assert base64.b64decode(seen.pop("magic")) == b"\x89PNG\r\n\x1a\n"
    assert seen == {
        "status": "succeeded",
        "type": "image",
        "contentType": "image/png",
        "jobIsNamed": True,
        "sizeFits": True,
        "tail": 4,
    }


def test_the_download_url_gives_the_bytes(everything: Mapping[str, Seen], atelier: Installation) -> None:
    seen = answer(everything, "download")

    assert seen["url"].startswith(atelier.url)
    assert (seen["status"], seen["same"], seen["expiresAt"]) == (200, True, None)


def test_events_tell_everything_and_the_terminal_status_last(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "events")

    assert seen["kinds"][-2:] == ["outputReady", "statusChange"]
    assert seen["statuses"][-2:] == ["running", "succeeded"]
    assert len(seen["values"]) >= 2
    assert seen["values"] == sorted(seen["values"])
    assert seen["preview"]["type"] == "image/jpeg"
    assert base64.b64decode(seen["preview"]["magic"]) == b"\xff\xd8\xff"
    assert seen["status"] == "succeeded"


def test_a_job_is_found_again_by_its_id_with_its_workflow(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "rehydrate")

    assert (seen["status"], seen["outputs"], seen["format"]) == ("succeeded", 1, "api")
    assert seen["graph"] == seen["sent"]


def test_assets_go_in_once_and_outputs_are_inputs(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "assets")

    assert (seen["createdNew"], seen["sameHash"], seen["producer"]) == (True, True, True)
    assert seen["filePath"] == "röd.png"
    assert graphs.pixel(base64.b64decode(seen["inverted"])) == (0, 255, 255)
    assert graphs.pixel(base64.b64decode(seen["restored"])) == (255, 0, 0)


def test_a_running_job_is_canceled_and_its_result_raises(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "cancelRunning")

    assert seen["asked"] in {"canceling", "canceled"}
    assert (seen["raised"], seen["status"], seen["again"]) == ("JobFailed", "canceled", "canceled")


def test_a_queued_job_is_canceled_before_it_ever_runs(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "cancelQueued")

    assert seen == {"status": "canceled", "outputs": 0, "others": ["canceled", "canceled"]}


def test_a_key_works_once(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "idempotency")

    assert seen["first"] == "succeeded"
    assert (seen["second"]["kind"], seen["second"]["httpStatus"]) == ("IdempotencyKeyReuse", 422)


def test_a_failed_node_is_named_with_its_traceback(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "failed")

    assert (seen["kind"], seen["code"]) == ("JobFailed", "node_execution_error")
    assert (seen["error"]["node_id"], seen["error"]["class_type"]) == ("3", "TestSyncError")
    assert "Intentional sync execution error" in seen["error"]["traceback"] + seen["error"]["message"]
    assert "File" in seen["error"]["traceback"]


@pytest.mark.parametrize(
    ("case", "kind", "code", "status"),
    [
        ("unknownClass", "InvalidWorkflow", "invalid_workflow", 422),
        ("tooWide", "InvalidWorkflow", "invalid_workflow", 422),
        ("editorHere", "WorkflowFormatUi", "workflow_format_ui", 422),
        ("editorThere", "WorkflowFormatUi", "workflow_format_ui", 422),
        ("missingAsset", "MissingAsset", "missing_asset", 422),
        ("unauthorized", "Unauthorized", "unauthorized", 401),
        ("keyless", "Unauthorized", "unauthorized", 401),
        ("noJob", "NotFound", "not_found", 404),
        ("noAsset", "NotFound", "not_found", 404),
        ("deleteTwice", "NotFound", "not_found", 404),
        ("hashMismatch", "HashMismatch", "hash_mismatch", 409),
        ("tooLarge", "ComfyError", "payload_too_large", 413),
    ],
)
def test_every_refusal_is_the_exception_that_users_catch(
    everything: Mapping[str, Seen], case: str, kind: str, code: str, status: int
) -> None:
    seen = answer(everything, "refusals")[case]

    assert (seen["kind"], seen["code"], seen["httpStatus"]) == (kind, code, status)


def test_refusals_carry_what_programs_need(everything: Mapping[str, Seen]) -> None:
    seen = answer(everything, "refusals")

    assert "EmptyImage" in seen["unknownClass"]["details"]["missing_node_classes"]["EmptyImag"]
    assert seen["tooWide"]["details"]["node_errors"]["1"]["errors"][0]["type"] == "value_bigger_than_max"
    assert seen["missingAsset"]["details"]["missing_ids"] == ["00000000-0000-4000-8000-000000000000"]


def test_the_lock_names_no_registry() -> None:
    lock = (Path(PROJECT) / "package-lock.json").read_text()

    assert "resolved" not in lock
    assert "registry" not in lock
