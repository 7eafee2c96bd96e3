"""Clients of native prompts hear of their runs what a server of their own would have said, in their own ids."""

import json
import uuid
from typing import Any

from atelier.dispatch.collect import saves_to_socket
from atelier.jobs.model import JobState
from atelier.jobs.relay import FrameKind, Relay
from atelier.kit.background import background
from atelier.kit.wakeups import Wakeups
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator
from support.native import CLIENT, Line, line_of, prompt_id_of, report_of, shown, submit
from support.postgres import opened
from tools.chaos.fault_proxy import fault_proxy

RUN = ["execution_start", "execution_cached"]
SLOW = SimulatorConfig(control=True, step_seconds=0.1)


def websocket_picture(color: int) -> dict[str, Any]:
    return {
        "1": picture(color)["1"],
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }


def through(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A picture that goes through this node."""
    graph = picture(7)
    graph["9"] = {"class_type": class_type, "inputs": {"value": ["1", 0], **inputs}}
    graph["2"]["inputs"]["images"] = ["9", 0]
    return graph


def without_progress(line: Line) -> list[str]:
    return [event for event in line.types() if not event.startswith("progress")]


async def driven(ground: Ground, *urls: str) -> None:
    for number, url in enumerate(urls, 1):
        await ground.add_server(url, f"sim-{number}")
    ground.tasks.start(ground.dispatcher().run())
    await ground.known(len(urls))


async def test_a_success_is_told_in_the_recorded_order_under_the_clients_id(ground: Ground) -> None:
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)

        job = await submit(ground, picture(3))
        await ground.ended(job.id)

    prompt_id = await prompt_id_of(ground, job)
    assert line.types() == [
        *RUN,
        *("progress_state", "executing", "progress_state"),
        *("progress_state", "executing", "executed", "progress_state"),
    ]
    assert all(data["prompt_id"] == prompt_id for _, data in line.messages())
    assert all(str(frame.body).startswith('{"type":') for frame in line.frames)
    assert {(frame.client_id, frame.job_id, frame.account_id) for frame in line.frames} == {
        (CLIENT, job.id, ground.caller.account_id)
    }
    nodes = line.data("progress_state")[-1]["nodes"]
    assert {node["prompt_id"] for node in nodes.values()} == {prompt_id}
    kinds = {event: frame.kind for event, frame in zip(line.types(), line.frames, strict=True)}
    assert kinds["progress_state"] is FrameKind.PROGRESS
    assert kinds["executed"] is FrameKind.STATE


async def test_files_are_told_and_reported_under_the_names_by_which_they_are_found(ground: Ground) -> None:
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)

        job = await submit(ground, picture(3, prefix="sub/test"))
        ended = await ground.ended(job.id)

    [executed] = line.data("executed")
    [item] = executed["output"]["images"]
    assert item == {"filename": f"test_{job.position:05}_.png", "subfolder": "sub", "type": "output"}
    report = await report_of(ground, job)
    assert report.outputs == {"2": executed["output"]}
    assert report.meta["2"] == {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
    prompt_id = await prompt_id_of(ground, job)
    assert [event for event, _ in report.messages] == [*RUN, "execution_success"]
    assert all(data["prompt_id"] == prompt_id and data["timestamp"] > 0 for _, data in report.messages)
    assert [(output.name, output.subfolder) for output in ended.outputs] == [("test_00001_.png", "sub")]


async def test_what_history_alone_knows_is_reported_all_the_same(ground: Ground) -> None:
    """Nothing of the run was heard: the server's socket is shut."""
    async with simulator() as real, fault_proxy(real) as proxy, line_of(ground) as line:
        proxy.on("cut_before", b"GET /ws", times=1000)
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher(poll_interval=0.1, lost_after=60.0).run())
        await ground.known(1)

        job = await submit(ground, picture(3))
        ended = await ground.ended(job.id)

    assert ended.state is JobState.SUCCEEDED
    report = await report_of(ground, job)
    assert line.types() in ([], ["execution_start"])
    assert report.outputs["2"]["images"][0]["filename"] == f"test_{job.position:05}_.png"
    assert [event for event, _ in report.messages] == [*RUN, "execution_success"]


async def test_a_repeat_tells_what_was_cached(ground: Ground) -> None:
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)
        await ground.ended((await submit(ground, picture(3))).id)
        line.frames.clear()

        job = await submit(ground, picture(3))
        await ground.ended(job.id)

    assert line.data("execution_cached")[0]["nodes"] == ["1"]
    assert without_progress(line) == [*RUN, "executing", "executed"]
    assert (await report_of(ground, job)).messages[1][1]["nodes"] == ["1"]


async def test_a_failed_node_is_reported_as_the_server_said_it(ground: Ground) -> None:
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)

        job = await submit(ground, through("TestSyncError"))
        ended = await ground.ended(job.id)

    report = await report_of(ground, job)
    event, data = report.messages[-1]
    assert (ended.state, event) == (JobState.FAILED, "execution_error")
    assert (data["node_id"], data["node_type"], data["exception_type"]) == ("9", "TestSyncError", "RuntimeError")
    assert data["prompt_id"] == await prompt_id_of(ground, job)
    assert isinstance(data["traceback"], list)
    assert data["timestamp"] > 0
    assert "execution_error" not in line.types()


async def test_a_block_with_words_is_told_although_the_run_goes_on(ground: Ground) -> None:
    graph = picture(7)
    graph["9"] = {
        "class_type": "TestExecutionBlocker",
        "inputs": {"input": ["1", 0], "block": True, "verbose": True},
    }
    graph["2"]["inputs"]["images"] = ["9", 0]
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)

        job = await submit(ground, graph)
        ended = await ground.ended(job.id)

    [told] = line.data("execution_error")
    assert (ended.state, told["exception_type"]) == (JobState.SUCCEEDED, "ExecutionBlocked")
    assert told["prompt_id"] == await prompt_id_of(ground, job)
    assert (await report_of(ground, job)).messages[-1][0] == "execution_success"


async def test_an_interrupt_is_reported_with_the_node_that_it_met(ground: Ground) -> None:
    async with simulator(SLOW) as url, line_of(ground) as line:
        await driven(ground, url)
        job = await submit(ground, sampled(steps=200))
        await line.until(lambda line: "progress" in line.types())

        await ground.cancel(job.id)
        ended = await ground.ended(job.id)

    event, data = (await report_of(ground, job)).messages[-1]
    assert (ended.state, event, data["node_type"]) == (JobState.CANCELED, "execution_interrupted", "KSampler")
    assert data["prompt_id"] == await prompt_id_of(ground, job)
    assert "execution_interrupted" not in line.types()
    assert all(data.get("node", "") is not None for data in line.data("executing"))


async def test_a_run_that_takes_too_long_is_reported_as_an_error(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(run_timeout=0.5, silent_after=0.2).run())
        await ground.known(1)

        job = await submit(ground, sampled(steps=200))
        ended = await ground.ended(job.id)

    event, data = (await report_of(ground, job)).messages[-1]
    assert (ended.state, event, data["exception_type"]) == (JobState.FAILED, "execution_error", "timed_out")
    assert data["node_type"] == "KSampler"


async def test_previews_and_results_of_the_socket_are_told_apart(ground: Ground) -> None:
    config = SimulatorConfig(control=True, previews=True)
    async with simulator(config) as url, line_of(ground) as line:
        await driven(ground, url)

        await ground.ended((await submit(ground, sampled(steps=3))).id)
        saved = await submit(ground, websocket_picture(5))
        ended = await ground.ended(saved.id)

    assert len(line.pictures(FrameKind.PREVIEW)) == 3
    [result] = line.pictures(FrameKind.STATE)
    head = result[8 : 8 + int.from_bytes(result[4:8], "big")]
    told = json.loads(head)
    assert (told["prompt_id"], told["node_id"]) == (await prompt_id_of(ground, saved), "2")
    assert result[8 + len(head) :].startswith(b"\x89PNG")
    assert len(ended.outputs) == 1
    assert (await report_of(ground, saved)).outputs == {}
    assert saves_to_socket(websocket_picture(5)) == {"2"}


async def test_events_of_custom_nodes_pass_untouched_to_the_client_of_the_running_prompt(ground: Ground) -> None:
    data = '{"max": 12345, "text": "x [y] 1e5", "list": [1, null]}'
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)

        await ground.ended((await submit(ground, through("TestSendEvent", event="pack.done", data=data))).id)
        await ground.ended(
            (
                await submit(ground, through("TestSendEvent", event="progress", data='{"value": 1, "max": 12345}'))
            ).id
        )

    assert line.data("pack.done") == [json.loads(data)]
    bare = [frame for frame in line.frames if '"max": 12345}}' in str(frame.body)]
    assert [frame.kind for frame in bare] == [FrameKind.STATE]


async def test_a_prompt_goes_to_the_server_with_what_its_client_said(ground: Ground) -> None:
    """Extra data with its secrets, and the nodes that it is run for where the graph has more."""
    graph = picture(3) | {"3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}
    async with simulator(SLOW) as url, line_of(ground) as line:
        await driven(ground, url)

        job = await submit(
            ground,
            graph | {"1": through("TestSleep", seconds=0.5)["1"]},
            targets=["3"],
            extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}},
            secrets={"api_key_comfy_org": "secret"},
        )
        await line.until(lambda line: "executed" in line.types())
        await ground.ended(job.id)
        async with ground.http.get(f"{url}/history") as answer:
            [entry] = (await answer.json()).values()

    assert [data["node"] for data in line.data("executed")] == ["3"]
    [item] = line.data("executed")[0]["output"]["images"]
    assert (item["type"], item["subfolder"]) == ("temp", "")
    assert f"_{job.position:05}_" in item["filename"]
    assert entry["prompt"][3]["extra_pnginfo"] == {"workflow": {"id": "w"}}
    assert entry["prompt"][3]["client_id"] != CLIENT
    assert entry["prompt"][4] == ["3"]


async def test_jobs_of_other_dialects_are_neither_told_nor_reported(ground: Ground) -> None:
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)

        job = await ground.ended((await ground.submit(picture(3))).id)

    assert job.state is JobState.SUCCEEDED
    assert line.frames == []
    assert (await shown(ground, job)).report is None


async def test_a_job_that_is_tried_again_begins_once_for_its_client(ground: Ground) -> None:
    async with simulator(SLOW) as one, simulator(SLOW) as two, fault_proxy(one) as proxy, line_of(ground) as line:
        await driven(ground, proxy.url)
        job = await submit(ground, sampled(steps=10))
        await line.until(lambda line: "progress" in line.types())
        await ground.began(job.id)

        await ground.add_server(two, "sim-2")
        await ground.known(2)
        proxy.cut()
        proxy.hang(hangs=True)
        ended = await ground.ended(job.id, 60)

    assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 1)
    assert line.types().count("execution_start") == 1
    assert line.types().count("execution_cached") == 2
    assert line.types().count("executed") == 1
    report = await report_of(ground, job)
    assert [event for event, _ in report.messages] == [*RUN, "execution_success"]
    assert {data["prompt_id"] for _, data in line.messages() if "prompt_id" in data} == {
        await prompt_id_of(ground, job)
    }


async def test_a_run_that_another_dispatcher_takes_over_begins_once_and_is_reported_wholly(ground: Ground) -> None:
    async with simulator(SLOW) as url, line_of(ground) as line:
        await ground.add_server(url, "sim-1")
        first = ground.tasks.start(ground.dispatcher(name="first").run())
        await ground.known(1)
        job = await submit(ground, sampled(steps=25))
        await ground.began(job.id)
        first.cancel()
        ground.tasks.start(ground.dispatcher(name="second").run())

        ended = await ground.ended(job.id)

    assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
    assert line.types().count("execution_start") == 1
    report = await report_of(ground, job)
    assert [event for event, _ in report.messages] == [*RUN, "execution_success"]
    assert report.outputs["7"]["images"][0]["filename"] == f"test_{job.position:05}_.png"


async def test_who_listens_in_another_process_has_heard_everything_when_the_job_has_ended(
    ground: Ground, database_url: str
) -> None:
    async with simulator() as url, opened(database_url) as database, background() as tasks:
        wakeups = Wakeups(database)
        relay = Relay(database, wakeups)
        tasks.start(wakeups.run())
        tasks.start(relay.run())
        await driven(ground, url)
        async with line_of(ground, relay) as line:
            job = await submit(ground, picture(3))

            await ground.ended(job.id)
            await relay.catch_up()

            assert without_progress(line) == [*RUN, "executing", "executing", "executed"]
            assert line.types()[-1].startswith("progress")


async def test_placed_files_are_called_what_the_client_called_them(ground: Ground) -> None:
    """A failure names the inputs of its node."""
    prompt = uuid.uuid4()
    async with simulator() as url, line_of(ground) as line:
        await driven(ground, url)
        graph = through("TestSyncError")
        graph["2"]["inputs"]["filename_prefix"] = "mine/x"
        graph["9"]["inputs"]["value"] = "atelier/20260101/not-ours"

        job = await submit(ground, graph, prompt_id=prompt)
        await ground.ended(job.id)

    event, data = (await report_of(ground, job)).messages[-1]
    assert (event, data["prompt_id"]) == ("execution_error", str(prompt))
    assert line.types()[0] == "execution_start"
