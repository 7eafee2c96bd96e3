import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from atelier.dialects.comfyui import wire
from atelier.jobs.model import Job, JobError, JobState, Output, OutputKind
from atelier.jobs.native import Entry
from atelier.jobs.prompt import Prompt, Report
from atelier.kit.ids import AccountId, AssetId, JobId
from support.comfy_recordings import histories, queues
from support.graphs import picture

BORN = dt.datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=dt.UTC)
BEGAN = BORN + dt.timedelta(seconds=2)
ENDED = BORN + dt.timedelta(seconds=5)
BORN_MS, BEGAN_MS, ENDED_MS = 1795262400123, 1795262402123, 1795262405123


def job(state: JobState, *, outputs: tuple[Output, ...] = (), error: JobError | None = None) -> Job:
    return Job(
        id=JobId(uuid.uuid4()),
        account_id=AccountId(uuid.uuid4()),
        state=state,
        priority=5,
        position=1234,
        metadata={},
        created_at=BORN,
        started_at=None if state in {JobState.QUEUED, JobState.EXPIRED} else BEGAN,
        finished_at=ENDED if state.terminal else None,
        keep_until=ENDED,
        tries=0,
        event_seq=1,
        error=error,
        outputs=outputs,
        progress=None,
    )


def entry(
    made: Job,
    *,
    prompt_id: str = "p",
    number: float = 1234.0,
    prompt: Prompt | None = None,
    graph: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Entry:
    return Entry(
        job=made,
        prompt_id=prompt_id,
        number=number,
        prompt=prompt,
        graph=graph,
        report=report,
        in_history=made.state.terminal,
    )


def output(kind: OutputKind, name: str, node_id: str = "9", *, temporary: bool = False) -> Output:
    return Output(AssetId(uuid.uuid4()), node_id, name, kind, "x/y", 1, "00", temporary, "sub")


def as_stored(recorded: Mapping[str, Any]) -> Entry:
    """The job that a recorded history entry would be."""
    number, prompt_id, graph, extra_data, targets = recorded["prompt"]
    status = recorded["status"]
    said = {name: value for name, value in extra_data.items() if name != "client_id"}
    ended = status["messages"][-1][0]
    state = {wire.SUCCESS: JobState.SUCCEEDED, wire.INTERRUPTED: JobState.CANCELED}.get(ended, JobState.FAILED)
    return entry(
        job(state),
        prompt_id=prompt_id,
        number=number,
        prompt=Prompt(extra_data.get("client_id"), said, tuple(targets)),
        graph=graph,
        report=Report(recorded["outputs"], tuple(map(tuple, status["messages"])), recorded["meta"]),
    )


@pytest.mark.parametrize(("recording", "told"), histories())
def test_a_run_is_shown_as_its_server_showed_it(recording: str, told: tuple[str, dict[str, Any]]) -> None:
    """A run with an error at its end is never `success`, as 0.3.64 says of a cycle that was made while it ran."""
    prompt_id, recorded = told

    shown = json.loads(wire.history_entry(as_stored(recorded)))

    *prompt, extra_data, targets = shown["prompt"]
    assert prompt == recorded["prompt"][:3]
    assert prompt[1] == prompt_id
    assert extra_data == recorded["prompt"][3] | {"create_time": BORN_MS}
    assert targets == recorded["prompt"][4]
    assert shown["outputs"] == recorded["outputs"]
    assert shown["meta"] == recorded["meta"]
    assert shown["status"]["messages"] == recorded["status"]["messages"]
    good = recorded["status"]["messages"][-1][0] == wire.SUCCESS
    assert (shown["status"]["status_str"], shown["status"]["completed"]) == ("success" if good else "error", good)


@pytest.mark.parametrize(("recording", "told"), queues())
def test_a_queue_is_told_as_servers_tell_it(recording: str, told: dict[str, list[list[Any]]]) -> None:
    """But for keys of partner nodes, which 0.3.64 shows and nobody sees here."""
    for number, prompt_id, graph, extra_data, targets in told["queue_running"] + told["queue_pending"]:
        said = {name: value for name, value in extra_data.items() if name != "client_id"}
        prompt = Prompt(extra_data.get("client_id"), said, tuple(targets))
        waiting = entry(job(JobState.QUEUED), prompt_id=prompt_id, number=number, prompt=prompt, graph=graph)

        shown = json.loads(wire.queue_tuple(waiting))

        assert shown == [number, prompt_id, graph, extra_data | {"create_time": BORN_MS}, targets], recording


def test_a_waiting_prompt_is_a_tuple_of_five() -> None:
    waiting = entry(
        job(JobState.QUEUED), number=-62.0, prompt=Prompt("me", {"x": 1}, ("2",)), graph=picture(), prompt_id="id"
    )

    assert json.loads(wire.queue_tuple(waiting)) == [
        -62,
        "id",
        picture(),
        {"x": 1, "client_id": "me", "create_time": BORN_MS},
        ["2"],
    ]


def test_a_job_of_another_dialect_is_run_for_the_nodes_that_feed_no_other() -> None:
    assert json.loads(wire.queue_tuple(entry(job(JobState.QUEUED), graph=picture())))[3:] == [
        {"create_time": BORN_MS},
        ["2"],
    ]


def test_a_success_of_another_dialect_has_a_history_like_any_other() -> None:
    made = (output(OutputKind.IMAGE, "x_00001_.png"), output(OutputKind.IMAGE, "x_00002_.png", temporary=True))

    shown = json.loads(wire.history_entry(entry(job(JobState.SUCCEEDED, outputs=made), graph=picture())))

    when = {"prompt_id": "p", "timestamp": BEGAN_MS}
    assert shown == {
        "prompt": [1234, "p", picture(), {"create_time": BORN_MS}, ["9"]],
        "outputs": {
            "9": {
                "images": [
                    {"filename": "x_01234_.png", "subfolder": "sub", "type": "output"},
                    {"filename": "x_01234-00002_.png", "subfolder": "sub", "type": "temp"},
                ]
            }
        },
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", when],
                ["execution_cached", {"nodes": [], **when}],
                ["execution_success", {"prompt_id": "p", "timestamp": ENDED_MS}],
            ],
        },
        "meta": {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}},
    }


def test_each_kind_of_file_stands_where_editors_look_for_it() -> None:
    made = (
        output(OutputKind.VIDEO, "v_00001_.mp4", "1"),
        output(OutputKind.AUDIO, "a_00001_.flac", "2"),
        output(OutputKind.TEXT, "3_0.txt", "3"),
        output(OutputKind.LATENT, "l_00001_.latent", "4"),
        output(OutputKind.FILE, "m_00001_.glb", "5"),
    )

    shown = wire.outputs(entry(job(JobState.SUCCEEDED, outputs=made)))

    assert {node: list(lists) for node, lists in shown.items()} == {
        "1": ["images", "animated"],
        "2": ["audio"],
        "3": ["text"],
        "4": ["latents"],
        "5": ["files"],
    }
    assert shown["1"]["animated"] == [True]


def test_a_failure_without_a_report_names_all_members_of_an_error() -> None:
    error = JobError("node_execution_error", "boom", "3", "KSampler", "line 1\nline 2")

    event, data = wire.terminal(entry(job(JobState.FAILED, error=error)))

    assert event == "execution_error"
    assert data == {
        "prompt_id": "p",
        "node_id": "3",
        "node_type": "KSampler",
        "executed": [],
        "exception_message": "boom",
        "exception_type": "node_execution_error",
        "traceback": ["line 1\n", "line 2"],
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": ENDED_MS,
    }


def test_what_never_began_has_no_start_but_an_end() -> None:
    error = JobError("expired", "It waited 24 h and was still queued.")

    told = wire.messages(entry(job(JobState.EXPIRED, error=error)))

    assert [event for event, _ in told] == ["execution_error"]
    assert told[0][1]["exception_message"] == "It waited 24 h and was still queued."
    assert (told[0][1]["node_id"], told[0][1]["node_type"]) == ("", "")


def test_a_canceled_run_was_interrupted() -> None:
    told = wire.messages(entry(job(JobState.CANCELED)))

    assert [event for event, _ in told] == ["execution_start", "execution_cached", "execution_interrupted"]
    assert told[-1][1] == {"prompt_id": "p", "node_id": "", "node_type": "", "executed": [], "timestamp": ENDED_MS}


def test_a_run_whose_files_were_lost_did_not_succeed() -> None:
    report = Report(messages=(("execution_start", {"timestamp": 1}), ("execution_success", {"timestamp": 2})))

    told = wire.messages(entry(job(JobState.FAILED, error=JobError("output_gone", "Gone.")), report=report))

    assert [event for event, _ in told] == ["execution_start", "execution_error"]


def test_a_blocked_branch_does_not_end_a_run() -> None:
    blocked = ("execution_error", {"exception_type": "ExecutionBlocked"})
    report = Report(messages=(("execution_start", {"timestamp": 1}), blocked, ("execution_success", {})))

    shown = entry(job(JobState.SUCCEEDED), report=report)

    assert wire.messages(shown) == list(report.messages)
    assert wire.terminal(shown)[0] == "execution_success"


def test_a_waiting_job_has_only_what_it_can_have() -> None:
    assert wire.job_of(entry(job(JobState.QUEUED))) == {
        "id": "p",
        "status": "pending",
        "priority": 1234,
        "create_time": BORN_MS,
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }


def test_an_ended_job_tells_when_it_ran_and_what_stands_for_it() -> None:
    workflow = {"extra_pnginfo": {"workflow": {"id": "flow"}}}
    made = (output(OutputKind.IMAGE, "t_00001_.png", temporary=True), output(OutputKind.IMAGE, "o_00001_.png"))

    shown = wire.job_of(entry(job(JobState.SUCCEEDED, outputs=made), prompt=Prompt(extra_data=workflow)))

    assert shown == {
        "id": "p",
        "status": "completed",
        "priority": 1234,
        "create_time": BORN_MS,
        "execution_start_time": BEGAN_MS,
        "execution_end_time": ENDED_MS,
        "outputs_count": 2,
        "previewable_outputs_count": 2,
        "preview_output": {
            "filename": "o_01234_.png",
            "subfolder": "sub",
            "type": "output",
            "nodeId": "9",
            "mediaType": "images",
        },
        "workflow_id": "flow",
    }


@pytest.mark.parametrize("pnginfo", [None, [], {"workflow": None}, {"workflow": {"id": 5}}, {"workflow": []}])
def test_an_odd_workflow_has_no_id(pnginfo: object) -> None:
    assert (
        wire.workflow_id(entry(job(JobState.QUEUED), prompt=Prompt(extra_data={"extra_pnginfo": pnginfo}))) is None
    )


def test_every_state_has_a_word() -> None:
    assert set(wire.JOB_STATUS) == set(JobState)


def test_details_show_outputs_status_and_workflow() -> None:
    ended = entry(job(JobState.SUCCEEDED), graph=picture(), prompt=Prompt("me", {"x": 1}, ("2",)))
    waiting = entry(job(JobState.QUEUED), graph=picture())

    detailed = wire.job_of(ended, detail=True)

    extra_data = {"x": 1, "client_id": "me", "create_time": BORN_MS}
    assert detailed["workflow"] == {"prompt": picture(), "extra_data": extra_data}
    assert detailed["outputs"] == {}
    assert detailed["execution_status"]["status_str"] == "success"
    assert "outputs" not in wire.job_of(waiting, detail=True)
    assert wire.job_of(waiting, detail=True)["workflow"]["prompt"] == picture()
