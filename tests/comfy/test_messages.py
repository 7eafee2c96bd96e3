import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    Message,
    NodeState,
    NodeText,
    Preview,
    Progress,
    ProgressState,
    Status,
    Unknown,
    parse_binary,
    parse_text,
)
from support.comfy_recordings import binary, frames

KINDS = {
    "status": Status,
    "feature_flags": FeatureFlags,
    "execution_start": ExecutionStart,
    "execution_cached": ExecutionCached,
    "executing": Executing,
    "progress": Progress,
    "progress_state": ProgressState,
    "executed": Executed,
    "execution_success": ExecutionSuccess,
    "execution_error": ExecutionError,
    "execution_interrupted": ExecutionInterrupted,
}
UUID = "a9daa504-1ce7-4ecc-aed4-512972682f81"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["prompt_id", "node", "nodes", "status", "exec_info", "queue_remaining", "value", "max", "output", "state"]
)


def spoken(kind: str, data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


def text_frames() -> list[tuple[str, dict[str, Any]]]:
    return [(recording, frame) for recording, frame in frames() if "type" in frame]


def binary_frames() -> list[tuple[str, dict[str, Any]]]:
    return [(recording, frame) for recording, frame in frames() if "b64" in frame]


@pytest.mark.parametrize(("recording", "frame"), text_frames())
def test_every_recorded_text_frame_has_its_type(recording: str, frame: dict[str, Any]) -> None:
    message = parse_text(json.dumps(frame))

    assert isinstance(message, KINDS[frame["type"]])


@pytest.mark.parametrize(("recording", "frame"), binary_frames())
def test_every_recorded_binary_frame_is_a_picture(recording: str, frame: dict[str, Any]) -> None:
    message = parse_binary(binary(frame))

    assert isinstance(message, Preview)
    assert message.content_type in {"image/png", "image/jpeg"}
    assert message.image[:2] in {b"\x89P", b"\xff\xd8"}


def test_the_first_status_says_who_we_are() -> None:
    message = parse_text(spoken("status", {"status": {"exec_info": {"queue_remaining": 2}}, "sid": "x"}))

    assert message == Status(2, "x")


def test_the_last_executing_has_no_node() -> None:
    message = parse_text(spoken("executing", {"node": None, "prompt_id": UUID}))

    assert message == Executing(UUID, None)


def test_executing_after_a_reconnect_has_no_prompt() -> None:
    message = parse_text(spoken("executing", {"node": "2"}))

    assert message == Executing(None, "2")


def test_progress_of_custom_nodes_may_name_nothing() -> None:
    message = parse_text(spoken("progress", {"value": 3, "max": 12345}))

    assert message == Progress(None, None, 3.0, 12345.0)


def test_progress_state_is_one_state_per_node() -> None:
    node = {"value": 1, "max": 4, "state": "running", "node_id": "7", "display_node_id": "3", "new": 1}

    message = parse_text(spoken("progress_state", {"prompt_id": UUID, "nodes": {"7": node}}))

    assert message == ProgressState(UUID, {"7": NodeState("7", "running", 1.0, 4.0, "3")})


@pytest.mark.parametrize(("kind", "blocked"), [("ExecutionBlocked", True), ("RuntimeError", False)])
def test_a_blocked_node_does_not_end_its_prompt(kind: str, *, blocked: bool) -> None:
    data = {"prompt_id": UUID, "node_id": "3", "exception_type": kind, "current_inputs": []}

    message = parse_text(spoken("execution_error", data))

    assert message == ExecutionError(UUID, data, blocked=blocked)


@pytest.mark.parametrize(
    "text",
    [
        spoken("crystools.monitor", {"cpu": 1}),
        spoken("progress", {"value": "a", "max": 1}),
        spoken("progress", {"value": 10**400, "max": 1}),
        '{"type":"progress","data":{"value":NaN,"max":1}}',
        spoken("executing", {}),
        spoken("executed", {"node": "1", "output": []}),
        spoken("status", None),
        '{"type":"execution_start"}',
    ],
)
def test_what_has_another_shape_passes_through_unread(text: str) -> None:
    message = parse_text(text)

    assert message == Unknown(json.loads(text)["type"], text)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"type":5}', "{}", "[" * 100_000, "\ud800"])
def test_what_is_no_message_is_none(text: str) -> None:
    assert parse_text(text) is None


def test_layout_3_is_text_of_a_node() -> None:
    frame = b"\0\0\0\3" + b"\0\0\0\2" + b"12" + "naïve".encode()

    assert parse_binary(frame) == NodeText(None, "12", "naïve")


def test_layout_3_may_name_the_prompt_first() -> None:
    frame = b"\0\0\0\3" + (36).to_bytes(4, "big") + UUID.encode() + b"\0\0\0\1" + b"7" + b"half way"

    assert parse_binary(frame) == NodeText(UUID, "7", "half way")


def test_layout_4_names_prompt_and_node() -> None:
    metadata = json.dumps({"prompt_id": UUID, "node_id": "5", "image_type": "image/jpeg"}).encode()

    message = parse_binary(b"\0\0\0\4" + len(metadata).to_bytes(4, "big") + metadata + b"\xff\xd8")

    assert message == Preview(UUID, "5", "image/jpeg", b"\xff\xd8")


@pytest.mark.parametrize(
    "frame",
    [
        b"\0\0\0\1",
        b"\0\0\0\1\0\0\0\3gif",
        b"\0\0\0\3\xff\xff\xff\xffx",
        b"\0\0\0\3\0\0\0\1\xff",
        b"\0\0\0\4\0\0\0\2{}",
        b"\0\0\0\4\0\0\0\1{",
        b"\0\0\0\4\0\0\0\2[]",
        b"\0\0\0\x0a anything",
    ],
)
def test_binary_frames_of_custom_nodes_pass_through(frame: bytes) -> None:
    assert parse_binary(frame) == Unknown(f"binary:{frame[3]}", frame)


def test_a_frame_without_a_type_is_none() -> None:
    assert parse_binary(b"\0\0") is None


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(KEYS, JSON, max_size=4) | JSON)
def test_no_data_makes_the_text_parser_raise(kind: str, data: Any) -> None:
    message = parse_text(spoken(kind, data))

    assert message is not None


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    message = parse_text(text)

    assert message is None or isinstance(message, Message)


@given(st.sampled_from([b"", b"\0\0\0\1", b"\0\0\0\3", b"\0\0\0\4", b"\0\0\0\4\0\0\0\2{}"]), st.binary())
def test_no_bytes_make_the_binary_parser_raise(head: bytes, tail: bytes) -> None:
    message = parse_binary(head + tail)

    assert message is None or isinstance(message, Message)
