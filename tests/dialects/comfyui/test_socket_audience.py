"""Each prompt is told to its own sockets, from one beginning to one end, whatever came late, twice or never."""

import dataclasses
import datetime as dt
import json
import struct
import uuid
from collections.abc import Mapping
from typing import Any

from atelier.dialects.comfyui.audience import Audience
from atelier.dialects.comfyui.layouts import event, reader_of
from atelier.dialects.comfyui.runs import Run
from atelier.dialects.comfyui.sockets import Client
from atelier.jobs.model import Job, JobError, JobState
from atelier.jobs.native import Entry
from atelier.jobs.prompt import Prompt, Report
from atelier.jobs.relay import Frame, FrameKind
from atelier.kit.ids import AccountId, JobId, new_uuid

ACCOUNT = AccountId(new_uuid())
NOW = dt.datetime(2026, 11, 21, 19, tzinfo=dt.UTC)


class Ear(Client):
    """A socket that remembers."""

    def heard(self) -> list[Any]:
        """Messages as `type` or `type node`, frames as they are."""
        found: list[Any] = []
        while (message := self._outbox.take()) is not None:
            found.append(message if isinstance(message, bytes) else brief(json.loads(message)))
        return found


def brief(message: Mapping[str, Any]) -> str:
    data = message["data"]
    if message["type"] == "status":
        return f"status {data['status']['exec_info']['queue_remaining']}"
    node = f" {data['node']}" if "node" in data else ""
    return f"{message['type']}{node}"


@dataclasses.dataclass
class Job1:
    """One prompt, and frames of it."""

    client_id: str | None = "me"
    id: JobId = dataclasses.field(default_factory=lambda: JobId(new_uuid()))
    prompt_id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def run(self) -> Run:
        return Run(self.id, self.prompt_id, self.client_id)

    def says(self, kind: str, look: FrameKind = FrameKind.STATE, **data: Any) -> Frame:
        return self.frame(event(kind, {**data, "prompt_id": self.prompt_id}), look)

    def frame(self, body: str | bytes, look: FrameKind = FrameKind.STATE) -> Frame:
        return Frame(ACCOUNT, self.id, self.client_id, look, body)

    def story(self) -> list[Frame]:
        shown = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
        return [
            self.says("execution_start", timestamp=1),
            self.says("execution_cached", nodes=[], timestamp=1),
            self.says("progress_state", FrameKind.PROGRESS, nodes={}),
            self.says("executing", node="2", display_node="2"),
            self.says("executed", node="2", display_node="2", output=shown),
        ]

    def ended(self, state: JobState = JobState.SUCCEEDED, *, began: bool = True, report: bool = True) -> Entry:
        job = Job(
            id=self.id,
            account_id=ACCOUNT,
            state=state,
            priority=5,
            position=7,
            metadata={},
            created_at=NOW,
            started_at=NOW if began else None,
            finished_at=NOW,
            keep_until=NOW,
            tries=0,
            event_seq=3,
            error=JobError("node_execution_error", "boom") if state is JobState.FAILED else None,
            outputs=(),
            progress=None,
        )
        messages = (
            ("execution_start", {"prompt_id": self.prompt_id, "timestamp": 1}),
            ("execution_cached", {"nodes": [], "prompt_id": self.prompt_id, "timestamp": 1}),
            ("execution_success", {"prompt_id": self.prompt_id, "timestamp": 2}),
        )
        told = Report({"2": {"images": [{"filename": "a.png"}]}}, messages, {}) if report else None
        return Entry(job, self.prompt_id, 7, Prompt(self.client_id), None, told, in_history=True)


WHOLE = [
    "execution_start",
    "execution_cached",
    "progress_state",
    "executing 2",
    "executed 2",
    "execution_success",
    "status 0",
    "executing None",
]


def ear(audience: Audience, sid: str = "me", **flags: bool) -> Ear:
    client = Ear(sid)
    client.reader = reader_of(flags)
    audience.join(client)
    assert client.heard() == ["status 0"]
    return client


def test_a_prompt_is_told_to_all_sockets_of_its_client_and_to_no_other() -> None:
    audience, job = Audience(), Job1()
    mine, again, other = ear(audience), ear(audience), ear(audience, "other")
    audience.expect(job.run)

    for frame in job.story():
        audience.hear(frame)
    audience.end(job.ended())

    assert mine.heard() == again.heard() == WHOLE
    assert other.heard() == []


def test_a_socket_that_leaves_takes_no_other_with_it() -> None:
    audience, job = Audience(), Job1()
    older, newer = ear(audience), ear(audience)
    audience.leave(older)

    for frame in job.story():
        audience.hear(frame)
    audience.end(job.ended())

    assert (older.heard(), newer.heard()) == ([], WHOLE)


def test_an_end_is_told_once() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)
    audience.expect(job.run)
    audience.end(job.ended())
    mine.heard()

    audience.end(job.ended())
    audience.expect(job.run)
    for frame in job.story():
        audience.hear(frame)

    assert mine.heard() == []


def test_a_prompt_that_is_tried_again_begins_once() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)
    audience.expect(job.run)

    audience.hear(job.says("execution_start"))
    audience.hear(job.says("executing", node="1"))
    audience.hear(job.says("execution_start"))
    audience.hear(job.says("executing", node="1"))

    assert mine.heard() == ["execution_start", "executing 1", "executing 1"]


def test_nothing_of_a_prompt_comes_before_its_beginning() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)
    audience.expect(job.run)

    audience.hear(job.frame(struct.pack(">II", 1, 1) + b"image", FrameKind.PREVIEW))

    assert mine.heard() == ["execution_start", struct.pack(">II", 1, 1) + b"image"]


def test_frames_of_a_prompt_that_is_not_known_yet_are_told_in_order() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)

    for frame in job.story():
        audience.hear(frame)
    audience.end(job.ended())

    assert mine.heard() == WHOLE


def test_what_never_came_is_told_at_the_end_as_history_has_it() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)

    audience.end(job.ended())

    assert mine.heard() == [message for message in WHOLE if message not in {"progress_state", "executing 2"}]


def test_what_was_taken_from_the_cache_is_told_before_the_end_if_it_never_came() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)
    audience.expect(job.run)
    audience.hear(job.says("execution_start"))

    audience.end(job.ended())

    assert mine.heard() == [message for message in WHOLE if message not in {"progress_state", "executing 2"}]


def test_who_came_in_mid_run_is_told_which_node_runs_and_later_the_end_alone() -> None:
    audience, job = Audience(), Job1()
    audience.expect(dataclasses.replace(job.run, began=True, whole=False))
    audience.hear(job.says("executing", node="2", display_node="2"))
    client = Ear("me")

    audience.join(client)
    audience.end(job.ended())

    assert client.heard() == ["status 0", "executing 2", "execution_success", "status 0", "executing None"]


def test_a_job_that_was_canceled_while_it_waited_has_no_messages() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)
    audience.expect(job.run)

    audience.end(job.ended(JobState.CANCELED, began=False, report=False))

    assert mine.heard() == []


def test_a_job_that_fails_before_it_began_has_a_beginning_and_an_end() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)

    audience.end(job.ended(JobState.FAILED, began=False, report=False))

    assert mine.heard() == ["execution_start", "execution_error", "status 0", "executing None"]


def test_a_prompt_without_a_client_tells_all_how_it_goes_and_nobody_what_it_does() -> None:
    audience, job = Audience(), Job1(client_id=None)
    one, two = ear(audience, "one"), ear(audience, "two", supports_preview_metadata=True)
    audience.expect(job.run)
    head = b'{"image_type": "image/jpeg"}'
    preview = struct.pack(">II", 4, len(head)) + head + b"image"

    for frame in (
        *job.story(),
        job.says("progress", FrameKind.PROGRESS, value=1, max=2),
        job.frame(preview, FrameKind.PREVIEW),
    ):
        audience.hear(frame)
    audience.end(job.ended())

    assert one.heard() == two.heard() == ["progress_state", "progress", struct.pack(">II", 1, 1) + b"image"]


def test_the_interruption_of_a_prompt_without_a_client_is_told_to_all() -> None:
    audience, job = Audience(), Job1(client_id=None)
    one, two = ear(audience, "one"), ear(audience, "two")
    audience.expect(job.run)

    audience.end(job.ended(JobState.CANCELED, report=False))

    assert one.heard() == two.heard() == ["execution_interrupted"]


def test_a_client_id_that_nobody_has_is_told_to_nobody() -> None:
    for client_id in ("", "gone"):
        audience, job = Audience(), Job1(client_id=client_id)
        mine = ear(audience)

        for frame in job.story():
            audience.hear(frame)
        audience.end(job.ended())

        assert mine.heard() == []


def test_events_of_custom_nodes_pass_as_they_are() -> None:
    audience, job = Audience(), Job1()
    mine = ear(audience)
    audience.expect(job.run)
    audience.hear(job.says("execution_start"))
    mine.heard()
    odd = ('{"type": "pack.event", "data": 1}', struct.pack(">I", 10) + b"film")

    for body in odd:
        audience.hear(job.frame(body))

    assert [mine._outbox.take() for _ in odd] == list(odd)


def test_each_socket_is_told_of_one_state_of_the_queue_once() -> None:
    audience, job = Audience(), Job1()
    mine, other = ear(audience), ear(audience, "other")
    audience.expect(job.run)
    audience.remaining, audience.version = 3, 2

    audience.end(job.ended())
    audience.tell_status()
    audience.tell_status()

    assert [message for message in mine.heard() if "status" in message] == ["status 3"]
    assert other.heard() == ["status 3"]


def test_runs_side_by_side_are_never_mixed() -> None:
    audience, mine, theirs = Audience(), Job1("me"), Job1("other")
    one, two = ear(audience, "me"), ear(audience, "other")

    for left, right in zip(mine.story(), theirs.story(), strict=True):
        audience.hear(left)
        audience.hear(right)
    audience.end(theirs.ended())
    audience.end(mine.ended())

    assert one.heard() == two.heard() == WHOLE


def test_a_preview_in_the_old_layout_comes_behind_its_progress_and_in_the_new_one_before() -> None:
    audience, job = Audience(), Job1()
    old, new = ear(audience, "me"), ear(audience, "me", supports_preview_metadata=True)
    head = json.dumps({"node_id": "5", "prompt_id": job.prompt_id, "image_type": "image/jpeg"}).encode()
    preview = struct.pack(">II", 4, len(head)) + head + b"image"
    plain = struct.pack(">II", 1, 1) + b"image"
    audience.expect(job.run)
    for frame in (
        job.frame(preview, FrameKind.PREVIEW),
        job.says("progress", FrameKind.PROGRESS, value=1, max=2, node="5"),
        job.frame(preview, FrameKind.PREVIEW),
        job.says("executing", node="6"),
    ):
        audience.hear(frame)

    assert old.heard()[-4:] == ["progress 5", plain, plain, "executing 6"]
    assert new.heard()[-4:] == [preview, "progress 5", preview, "executing 6"]
