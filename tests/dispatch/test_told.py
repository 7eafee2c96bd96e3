"""The socket's own account of a run is believed only where it is history's, word for word."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atelier.comfy.client import HistoryEntry, Success
from atelier.comfy.messages import (
    Executed,
    ExecutionCached,
    ExecutionError,
    ExecutionStart,
    ExecutionSuccess,
    Message,
    Unknown,
    parse_text,
)
from atelier.comfy.replies import parse_history
from atelier.dispatch.told import Told
from atelier.jobs.model import JobState
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator
from tools.chaos.fault_proxy import fault_proxy

RECORDINGS = Path(__file__).parents[1] / "recordings"
IMAGE = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
START, SHOWN, SUCCESS = ExecutionStart("p"), Executed("p", "2", IMAGE, "2"), ExecutionSuccess("p")
SLOW = SimulatorConfig(control=True, step_seconds=0.1)


def result(*messages: Message) -> HistoryEntry | None:
    told = Told()
    for message in messages:
        told.hear(message, 1)
    return told.result("p")


def recorded() -> Iterator[tuple[str, str, Told, HistoryEntry]]:
    """Recording, prompt, what its socket told, and what history said of it."""
    for file in sorted(RECORDINGS.glob("[a-z]_*.json")):
        told: dict[tuple[str, str], Told] = {}
        ended: dict[str, HistoryEntry] = {}
        for event in json.loads(file.read_text())["events"]:
            _hear(event, told)
            ended |= _history(event)
        for (_, prompt_id), one in told.items():
            if prompt_id in ended:
                yield file.stem, prompt_id, one, ended[prompt_id]


def _hear(event: dict[str, Any], told: dict[tuple[str, str], Told]) -> None:
    if event.get("direction") != "recv" or "type" not in (event.get("body") or {}):
        return
    message = parse_text(json.dumps(event["body"]))
    prompt_id = getattr(message, "prompt_id", None)
    if message is not None and prompt_id:
        told.setdefault((event["conn"], prompt_id), Told()).hear(message, 1)


def _history(event: dict[str, Any]) -> dict[str, HistoryEntry]:
    body = event.get("body")
    if event.get("direction") != "response" or "/history" not in event["path"] or not isinstance(body, dict):
        return {}
    entries = {prompt_id: parse_history(prompt_id, entry) for prompt_id, entry in body.items()}
    return {prompt_id: entry for prompt_id, entry in entries.items() if entry is not None}


def test_what_real_sockets_told_is_what_history_said() -> None:
    believed = 0
    for recording, prompt_id, told, entry in recorded():
        found = told.result(prompt_id)
        if found is not None:
            assert (found.outputs, found.verdict) == (entry.outputs, entry.verdict), recording
            believed += 1

    assert believed >= 15


def test_no_real_run_that_ended_otherwise_is_taken_for_a_success() -> None:
    ends = [(told.result(prompt_id), entry) for _, prompt_id, told, entry in recorded()]

    wrong = [entry for found, entry in ends if found is not None and not isinstance(entry.verdict, Success)]
    assert wrong == []
    assert any(not isinstance(entry.verdict, Success) for _, entry in ends)


@pytest.mark.parametrize(
    "messages",
    [
        (SHOWN, SUCCESS),
        (START, SHOWN),
        (START, ExecutionError("p", {}, blocked=True), SHOWN, SUCCESS),
        (START, ExecutionError("p", {}), SUCCESS),
        (START, ExecutionCached("p", ("1", "2")), SHOWN, SUCCESS),
        (START, Executed("p", "2", IMAGE, "7"), SUCCESS),
        (START, SHOWN, SHOWN, SUCCESS),
        (START, START, SHOWN, SUCCESS),
        (START, Unknown("executed", "{}"), SHOWN, SUCCESS),
    ],
    ids=["no start", "no success", "blocked", "error", "cached", "shown elsewhere", "twice", "begun twice", "odd"],
)
def test_history_is_asked_where_the_socket_leaves_a_doubt(messages: tuple[Message, ...]) -> None:
    assert result(*messages) is None


def test_models_from_the_cache_and_strangers_messages_leave_no_doubt() -> None:
    told = result(START, ExecutionCached("p", ("1",)), Unknown("monitor", "{}"), SHOWN, SUCCESS)

    assert told is not None
    assert [item.filename for item in told.outputs] == ["a.png"]


def test_history_is_asked_when_the_connection_was_another_one_meanwhile() -> None:
    told = Told()
    for message, epoch in ((START, 1), (SHOWN, 1), (SUCCESS, 2)):
        told.hear(message, epoch)

    assert told.result("p") is None


async def test_a_run_that_was_told_wholly_costs_no_question(ground: Ground) -> None:
    async with simulator() as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        proxy.on("cut_before", b"GET /history", times=100)

        job = await ground.ended((await ground.submit(picture(3))).id)

        assert (job.state, job.tries, len(job.outputs)) == (JobState.SUCCEEDED, 0, 1)
        assert proxy.met == 0


async def test_a_question_about_a_run_that_breaks_off_is_asked_again(ground: Ground) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=10))).id)
        proxy.on("cut_after", b"GET /history", times=2)

        proxy.cut()
        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        assert proxy.met == 2
