"""The official Python SDK, unmodified: every refusal is the exception that users catch, and nothing is kept."""

import time
import uuid
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from comfy_sdk import (
    Comfy,
    ComfyError,
    InvalidWorkflow,
    MissingAsset,
    NotFound,
    Unauthorized,
    Workflow,
    WorkflowFormatUi,
)

from conformance import graphs
from conformance.installation import Installation


@pytest.fixture
def jobs_before(http: httpx.Client) -> Generator[None]:
    """Fails when a refused submission left a job behind."""
    before = http.get("/api/v2/jobs", params={"limit": 1}).json()["jobs"]
    yield
    assert [job["id"] for job in http.get("/api/v2/jobs", params={"limit": 1}).json()["jobs"]] == [
        job["id"] for job in before
    ]


pytestmark = pytest.mark.usefixtures("jobs_before")


def refusal(comfy: Comfy, graph: dict[str, Any], kind: type[ComfyError], **options: Any) -> ComfyError:
    with pytest.raises(kind) as caught:
        comfy.submit(Workflow(graph), **options)
    assert type(caught.value) is kind
    assert caught.value.http_status == 422
    return caught.value


def test_an_unknown_node_class_is_refused_with_the_nearest_name(comfy: Comfy) -> None:
    graph = graphs.quick().json
    graph["1"]["class_type"] = "EmptyImag"

    refused = refusal(comfy, graph, InvalidWorkflow)

    assert refused.details is not None
    assert "EmptyImage" in refused.message
    assert refused.details["missing_node_classes"] == {
        "EmptyImag": refused.details["missing_node_classes"]["EmptyImag"]
    }
    assert "EmptyImage" in refused.details["missing_node_classes"]["EmptyImag"]


def test_a_missing_model_file_is_refused_with_the_nearest_name(comfy: Comfy) -> None:
    graph = graphs.slow().json
    graph["1"]["inputs"]["ckpt_name"] = "simulated_xl.safetensor"

    refused = refusal(comfy, graph, InvalidWorkflow)

    assert refused.details is not None
    assert "simulated_xl.safetensors" in refused.message
    assert "simulated_xl.safetensors" in refused.details["missing_models"]["simulated_xl.safetensor"]
    assert "1" in refused.details["node_errors"]


def test_wrong_inputs_are_refused_with_comfyuis_own_node_errors(comfy: Comfy) -> None:
    graph = graphs.quick().json
    graph["1"]["inputs"] = {"width": 99_999, "height": "x", "batch_size": 1}

    refused = refusal(comfy, graph, InvalidWorkflow)

    assert refused.details is not None
    errors = {error["type"] for error in refused.details["node_errors"]["1"]["errors"]}
    assert errors >= {"value_bigger_than_max", "required_input_missing"}
    assert refused.details["node_errors"]["1"]["class_type"] == "EmptyImage"


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}},
        {"1": {"inputs": {}}},
        {"1": "node"},
        {"1": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "loop"}}},
        {"1": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "dangling"}}},
        {"1": {"class_type": ["SaveImage"], "inputs": None}},
    ],
)
def test_what_is_no_graph_is_refused(comfy: Comfy, graph: dict[str, Any]) -> None:
    refused = refusal(comfy, graph, InvalidWorkflow)

    assert refused.code == "invalid_workflow"
    assert refused.details is not None
    assert "node_errors" in refused.details


def test_an_editor_export_is_refused_by_name_here_and_there(comfy: Comfy) -> None:
    refusal(comfy, {"nodes": [], "links": [], "last_node_id": 3}, WorkflowFormatUi)
    refused = refusal(comfy, {"nodes": [{"id": 1, "type": "SaveImage"}], "links": []}, WorkflowFormatUi)

    assert refused.code == "workflow_format_ui"


@pytest.mark.parametrize("asset_id", ["d6a3c6f0-5c1e-4c57-9a63-0b6a3b1c2d4e", "not-a-uuid", "", None, 7])
def test_an_unknown_asset_is_refused_by_its_id(comfy: Comfy, asset_id: object) -> None:
    reference = {"__type": "core/ASSET", "info": {"id": asset_id}}

    refused = refusal(comfy, graphs.inverted(reference).json, MissingAsset)

    assert refused.details is not None
    assert len(refused.details["missing_ids"]) == 1


def test_the_asset_of_another_account_is_missing(comfy: Comfy, stranger: Comfy) -> None:
    asset = stranger.assets.from_bytes(graphs.png((1, 2, 3)), filename="theirs.png")
    reference = asset.as_reference()

    refused = refusal(comfy, graphs.inverted(reference).json, MissingAsset)

    assert refused.details == {"missing_ids": [asset.id]}


@pytest.mark.parametrize(
    "labels",
    [
        {"": "empty"},
        {"a b": "blank"},
        {"k" * 41: "long"},
        {"k": "v" * 257},
        {"k": "ü" * 129},
        {"k": "a\nb"},
        {"k": "\u202eevil"},
        {f"k{number}": "v" for number in range(17)},
    ],
)
def test_labels_that_break_the_rules_are_refused(comfy: Comfy, labels: dict[str, str]) -> None:
    refused = refusal(comfy, graphs.quick().json, ComfyError, metadata=labels)

    assert refused.code == "metadata_invalid"


@pytest.mark.parametrize("filters", [{"a b": "x"}, {"a": "1", "b": "2", "c": "3", "d": "4"}, {"k": "v" * 257}])
def test_a_bad_filter_is_refused(comfy: Comfy, filters: dict[str, str]) -> None:
    with pytest.raises(ComfyError) as caught:
        list(comfy.list_jobs(metadata=filters))

    assert (caught.value.code, caught.value.http_status) == ("invalid_metadata_filter", 400)


def test_a_cursor_of_nobody_is_refused(comfy: Comfy, http: httpx.Client) -> None:
    answer = http.get("/api/v2/jobs", params={"cursor": "nonsense"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")


def test_a_wrong_a_missing_and_a_revoked_key_are_unauthorized(
    atelier: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", atelier.url)
    revoked = atelier.key_of("revoked")
    with Comfy(api_key=revoked) as known:
        known.run(graphs.quick(), timeout=60)
    atelier.revoke(revoked)

    for key in ("atl_wrong", None, atelier.key[:-1]):
        with Comfy(api_key=key) as nobody, pytest.raises(Unauthorized) as caught:
            nobody.submit(graphs.quick())
        assert caught.value.http_status == 401
        assert caught.value.request_id
    _until_unauthorized(revoked)


def _until_unauthorized(key: str) -> None:
    """Within seconds: processes remember a key for a moment."""
    with Comfy(api_key=key) as client:
        for _ in range(100):
            try:
                next(iter(client.list_jobs(limit=1)), None)
            except Unauthorized:
                return
            time.sleep(0.1)
    pytest.fail("a revoked key still opens the door")


def test_what_is_not_there_is_not_found(comfy: Comfy, stranger: Comfy) -> None:
    mine = next(iter(comfy.list_jobs(limit=1)), None) or comfy.run(graphs.quick(), timeout=60)

    for client, job_id in ((comfy, str(uuid.uuid4())), (comfy, "no-id"), (stranger, mine.id)):
        with pytest.raises(NotFound) as caught:
            client.jobs.get(job_id)
        assert (caught.value.http_status, caught.value.code) == (404, "not_found")


def test_a_workflow_over_the_limit_is_too_large(comfy: Comfy) -> None:
    graph = graphs.quick().json
    graph["2"]["inputs"]["filename_prefix"] = "x" * 11_000_000

    with pytest.raises(ComfyError) as caught:
        comfy.submit(Workflow(graph))

    assert (caught.value.code, caught.value.http_status) == ("payload_too_large", 413)
