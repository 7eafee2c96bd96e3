from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.client import (
    Failed,
    HistoryEntry,
    Interrupted,
    OutputItem,
    QueueItem,
    QueueSnapshot,
    Success,
)
from atelier.comfy.replies import parse_history, parse_outputs, parse_queue
from support.comfy_recordings import histories, queues

VERDICTS = {
    "execution_success": Success,
    "execution_error": Failed,
    "execution_interrupted": Interrupted,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


def entry(*messages: Any, status_str: str = "success") -> dict[str, Any]:
    return {"outputs": {}, "status": {"status_str": status_str, "completed": True, "messages": list(messages)}}


def texts(outputs: Any) -> list[tuple[str, str | None]]:
    return [(item.media_key, item.text) for item in parse_outputs(outputs)]


@pytest.mark.parametrize(("recording", "recorded"), histories())
def test_the_last_message_of_every_recorded_history_is_its_verdict(recording: str, recorded: Any) -> None:
    prompt_id, raw = recorded

    history = parse_history(prompt_id, raw)

    assert history is not None
    assert isinstance(history.verdict, VERDICTS[raw["status"]["messages"][-1][0]])
    files = [item for ui in raw["outputs"].values() for key in ui if key != "animated" for item in ui[key]]
    assert len(history.outputs) == len(files)


@pytest.mark.parametrize(("recording", "recorded"), queues())
def test_every_recorded_queue_is_read_whole(recording: str, recorded: Any) -> None:
    snapshot = parse_queue(recorded)

    assert snapshot is not None
    assert {item.prompt_id for item in snapshot.running} == {row[1] for row in recorded["queue_running"]}
    assert sorted(item.number for item in snapshot.pending) == [item.number for item in snapshot.pending]
    assert len(snapshot.pending) == len(recorded["queue_pending"])


def test_a_cycle_is_a_failure_even_where_the_status_says_success() -> None:
    history = parse_history("p", entry(["execution_start", {}], ["execution_error", {"node_id": "2"}]))

    assert history is not None
    assert history.verdict == Failed({"node_id": "2"})


def test_a_blocked_branch_does_not_make_a_success_a_failure() -> None:
    history = parse_history("p", entry(["execution_error", {}], ["execution_success", {}]))

    assert history is not None
    assert history.verdict == Success()


@pytest.mark.parametrize(("status_str", "verdict"), [("success", Success()), ("error", Failed({}))])
def test_without_messages_the_status_is_all_there_is(status_str: str, verdict: Any) -> None:
    history = parse_history("p", entry(status_str=status_str))

    assert history is not None
    assert history.verdict == verdict


def test_pending_prompts_are_ordered_as_they_will_run() -> None:
    rows = [[2, "b", {}, {}, []], [5.5, "c", {}, {"client_id": "x"}, []], [2, "a", {}, None, [], "new"]]

    snapshot = parse_queue({"queue_running": [[1, "r", {}, {}, []]], "queue_pending": rows})

    assert snapshot is not None
    assert [item.prompt_id for item in snapshot.pending] == ["a", "b", "c"]
    assert snapshot.pending[2] == QueueItem(5.5, "c", "x")
    assert [snapshot.position(name) for name in ("r", "a", "c", "z")] == [0, 1, 3, None]


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"queue_running": [], "queue_pending": [[1]]}, {"queue_running": [], "queue_pending": 5}],
)
def test_a_queue_that_cannot_be_read_whole_is_not_read_at_all(document: Any) -> None:
    assert parse_queue(document) is None


def test_files_of_every_kind_of_node_are_found_in_order() -> None:
    outputs = {
        "9": {"images": [{"filename": "a.png", "subfolder": "x", "type": "output"}], "animated": [True]},
        "10": {"gifs": [{"filename": "b.mp4", "subfolder": "", "type": "temp", "format": "video/h264-mp4"}]},
        "11": {"3d": [{"filename": "c.glb"}], "audio": {"filename": "d.flac", "type": "output"}},
        "12": {"latents": [{"filename": "e.latent", "type": "strange", "subfolder": None}]},
    }

    items = parse_outputs(outputs)

    assert [(item.node_id, item.media_key, item.filename, item.type, item.ordinal) for item in items] == [
        ("9", "images", "a.png", "output", 0),
        ("10", "gifs", "b.mp4", "temp", 1),
        ("11", "3d", "c.glb", "output", 2),
        ("11", "audio", "d.flac", "output", 3),
        ("12", "latents", "e.latent", "output", 4),
    ]
    assert items[1].extra == {"format": "video/h264-mp4"}


def test_texts_are_found_plain_listed_and_nested() -> None:
    assert texts({"1": {"text": "a"}}) == [("text", "a")]
    assert texts({"1": {"text": ["a", "b"]}}) == [("text", "a"), ("text", "b")]
    assert texts({"1": {"string": [["a"], 5, None, {"no": "file"}]}}) == [("string", "a")]


def test_a_text_is_no_file() -> None:
    assert parse_outputs({"1": {"text": ["a"]}}) == (OutputItem("1", "text", None, "", "", "a", 0),)


@given(JSON, JSON, JSON)
def test_no_history_makes_the_parser_raise(outputs: Any, messages: Any, status: Any) -> None:
    entries = (
        parse_history("p", {"outputs": outputs, "status": {"messages": messages}}),
        parse_history("p", {"outputs": {"1": outputs, "2": {"images": outputs}}, "status": status}),
        parse_history("p", status),
    )

    assert all(entry is None or isinstance(entry, HistoryEntry) for entry in entries)


@given(st.lists(st.lists(JSON, max_size=6), max_size=3) | JSON)
def test_no_queue_makes_the_parser_raise(rows: Any) -> None:
    snapshot = parse_queue({"queue_running": rows, "queue_pending": rows})

    assert snapshot is None or isinstance(snapshot, QueueSnapshot)
