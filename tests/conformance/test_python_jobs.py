"""The official Python SDK, unmodified: what its users do with jobs."""

import io
import uuid
from pathlib import Path

import pytest
from comfy_sdk import Comfy, IdempotencyKeyReuse, Job, JobFailed, OutputReady, Preview, Progress, StatusChange
from PIL import Image

from conformance import graphs

TERMINAL = {"succeeded", "failed", "canceled", "expired"}


def running(job: Job) -> Job:
    """Wait until a server works on it."""
    for event in job.events():
        match event:
            case StatusChange(status="running"):
                break
            case _:
                pass
    return job


def test_run_gives_the_picture(comfy: Comfy, tmp_path: Path) -> None:
    workflow = comfy.workflows.from_json(graphs.quick().json)
    workflow.set_input("1", "width", 48)

    job = comfy.run(workflow, timeout=60)

    [output] = job.get_outputs("2")
    body = output.to_bytes()
    assert job.status == "succeeded"
    assert (output.type, output.content_type, output.job_id) == ("image", "image/png", job.id)
    assert output.size_bytes == len(body)
    assert Image.open(io.BytesIO(body)).size == (48, 32)
    assert output.name.startswith("test")
    assert output.to_file(tmp_path / "picture.png").read_bytes() == body


def test_events_tell_everything_and_the_terminal_status_last(comfy: Comfy) -> None:
    job = comfy.submit(graphs.slow())

    seen = list(job.events())

    kinds = [type(event) for event in seen]
    statuses = list(dict.fromkeys(event.status for event in seen if isinstance(event, StatusChange)))
    values = [event.value for event in seen if isinstance(event, Progress)]
    previews = [event for event in seen if isinstance(event, Preview)]
    assert statuses in (["queued", "running", "succeeded"], ["running", "succeeded"])
    assert values == sorted(values)
    assert len(values) >= 2
    assert {event.to_pil().format for event in previews} == {"JPEG"}
    assert kinds[-2:] == [OutputReady, StatusChange]
    assert job.refresh().status == "succeeded"


def test_events_of_a_job_that_ended_are_its_outputs_and_its_end(comfy: Comfy) -> None:
    job = comfy.run(graphs.quick(), timeout=60)

    seen = list(job.events())

    outputs = [event.output for event in seen if isinstance(event, OutputReady)]
    assert [output.id for output in outputs] == [output.id for output in job.outputs]
    assert outputs[0].to_bytes() == job.outputs[0].to_bytes()
    assert seen[-1] == StatusChange(status="succeeded")


def test_a_job_is_found_again_by_its_id_with_its_workflow(comfy: Comfy) -> None:
    workflow = graphs.quick()
    job = comfy.run(workflow, timeout=60)

    again = comfy.jobs.get(job.id)

    assert (again.status, again.outputs[0].id) == ("succeeded", job.outputs[0].id)
    assert again.get_workflow().graph == workflow.json
    assert again.get_workflow().format == "api"


def test_a_running_job_is_canceled_and_its_run_raises(comfy: Comfy) -> None:
    job = running(comfy.submit(graphs.endless()))

    job.cancel()

    assert job.status in {"canceling", "canceled"}
    with pytest.raises(JobFailed):
        job.result()
    assert job.status == "canceled"
    assert job.cancel().status == "canceled"


def test_a_queued_job_is_canceled_before_it_ever_runs(comfy: Comfy) -> None:
    busy = [running(comfy.submit(graphs.endless())) for _ in range(2)]
    queued = comfy.submit(graphs.quick())

    queued.cancel()

    ended = queued.wait(timeout=30)
    assert (ended.status, ended.outputs, ended.error) == ("canceled", [], None)
    for job in busy:
        assert job.cancel().wait(timeout=30).status == "canceled"


def test_canceling_what_has_ended_changes_nothing(comfy: Comfy) -> None:
    job = comfy.run(graphs.quick(), timeout=60)

    assert job.cancel().status == "succeeded"
    assert len(job.outputs) == 1


def test_a_failed_node_is_named_with_its_traceback(comfy: Comfy) -> None:
    with pytest.raises(JobFailed) as caught:
        comfy.run(graphs.failing(), timeout=60)

    error = caught.value.error
    assert error is not None
    assert (error.code, error.node_id, error.class_type) == ("node_execution_error", "3", "TestSyncError")
    assert "Intentional sync execution error" in error.message
    assert error.traceback is not None
    assert "Traceback" in error.traceback or "File" in error.traceback


def test_labels_are_kept_and_lists_are_filtered_page_by_page(comfy: Comfy) -> None:
    batch = uuid.uuid4().hex
    made = [
        comfy.submit(graphs.quick(), metadata={"batch": batch, "client": "acme" if number % 2 else "ümläut ✓"})
        for number in range(5)
    ]
    comfy.submit(graphs.quick(), metadata={"batch": "other"})

    everything = [job.id for job in comfy.list_jobs(metadata={"batch": batch}, limit=2)]
    some = list(comfy.list_jobs(metadata={"batch": batch, "client": "ümläut ✓"}, limit=1))
    first = next(iter(comfy.list_jobs(limit=1)))

    assert everything == [job.id for job in reversed(made)]
    assert [job.id for job in some] == [made[4].id, made[2].id, made[0].id]
    assert some[0].metadata == {"batch": batch, "client": "ümläut ✓"}
    assert some[0].create_time is not None
    assert some[0].update_time is not None
    assert first.id != made[4].id
    assert comfy.jobs.get(made[1].id).metadata == {"batch": batch, "client": "acme"}


def test_a_key_works_once_and_makes_one_job(comfy: Comfy) -> None:
    batch = uuid.uuid4().hex
    comfy.submit(graphs.quick(), idempotency_key=batch, metadata={"batch": batch})

    with pytest.raises(IdempotencyKeyReuse) as caught:
        comfy.submit(graphs.quick(), idempotency_key=batch, metadata={"batch": batch})

    assert caught.value.http_status == 422
    assert len(list(comfy.list_jobs(metadata={"batch": batch}))) == 1


@pytest.mark.parametrize("prefix", ["line\nbreak", 'a "quoted" name', "snow ☃ man", "deep/er/ü", "../../out", ""])
def test_a_picture_comes_back_whatever_name_was_asked_for(comfy: Comfy, prefix: str) -> None:
    workflow = graphs.quick()
    workflow.set_input("2", "filename_prefix", prefix)

    job = comfy.run(workflow, timeout=60)

    assert job.outputs[0].to_bytes().startswith(b"\x89PNG")


def test_a_partner_key_is_accepted_and_never_shown(comfy: Comfy) -> None:
    job = comfy.run(graphs.quick(), api_key="partner-secret", timeout=60)

    assert "partner-secret" not in repr(job.get_workflow())
    assert job.status == "succeeded"
