"""Prompts that have not ended, as their sockets know them: each begins once, ends once, and is told in order."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from atelier.comfy.replies import as_object
from atelier.dialects.comfyui import wire
from atelier.dialects.comfyui.layouts import event, event_of
from atelier.dialects.comfyui.wire import Message
from atelier.jobs.model import JobState
from atelier.jobs.native import Entry
from atelier.jobs.relay import Frame
from atelier.kit import clock
from atelier.kit.ids import JobId

START, CACHED = "execution_start", "execution_cached"

MAX_RUNS = 10_000
MAX_EARLY = 64
"""Frames of one job that are kept until it is known which prompt that is."""

MAX_FILES = 1_000
"""Files of one run whose names are remembered until it ends."""

MAX_ENDED = 10_000
"""Ended jobs that are remembered, so that nothing of them is told again."""


File = tuple[str, str, str]
"""Type, subfolder and name, as a client asks for it."""


@dataclass(slots=True)
class Run:
    """`began`: its start is known to who listens; `cached`: what was cached too. `whole`: followed from before.

    `executing` is the last message that said which node runs: who comes back is told it again (wire contract 7.1).
    `shown` are the nodes whose output was told, `files` the files in it. `look` is a preview that the next message
    of progress goes before.
    """

    job_id: JobId
    prompt_id: str
    client_id: str | None
    began: bool = False
    whole: bool = True
    cached: bool = False
    executing: str | None = None
    shown: set[str] = field(default_factory=set[str])
    files: set[File] = field(default_factory=set[File])
    look: Frame | None = None

    def take(self, frame: Frame) -> Iterator[str | bytes]:
        """What to tell now that this came: on however many servers it runs, it begins once, and first of all."""
        kind = event_of(frame.body) if isinstance(frame.body, str) else ""
        if self.began and kind == START:
            return
        if not self.began and kind != START:
            yield event(START, {"prompt_id": self.prompt_id, "timestamp": wire.millis(clock.utcnow())})
        self.began = True
        if isinstance(frame.body, str):
            self._note(kind, frame.body)
        yield frame.body

    def unheard(self, entry: Entry) -> Iterator[Message]:
        """What is left to say at its end: what never came, as history has it, and how it ended."""
        *before, terminal = wire.messages(entry)
        if not self.began:
            yield from _with_start(entry, before)
        elif self.whole and not self.cached:
            yield from (message for message in before if message[0] == CACHED)
        if self.whole:
            yield from (message for node, message in _executed(entry) if node not in self.shown)
        yield terminal

    def never_ran(self, entry: Entry) -> bool:
        """Whether it was canceled while it waited: then there is nothing to tell of it."""
        return entry.job.state is JobState.CANCELED and entry.job.started_at is None and not self.began

    def _note(self, kind: str, text: str) -> None:
        if kind == CACHED:
            self.cached = True
        elif kind == "executing":
            self.executing = text
        elif kind == "executed" and (node := (data := _data_of(text)).get("node")) is not None:
            self.shown.add(str(node))
            self.files.update(itertools.islice(_files(data.get("output")), MAX_FILES - len(self.files)))


class Runs:
    """The prompts of one account, and what was heard of those that nobody knows yet."""

    def __init__(self) -> None:
        self._runs: dict[JobId, Run] = {}
        self._early: dict[JobId, list[Frame]] = {}
        self._ended: dict[JobId, float] = {}

    def executing_for(self, sid: str) -> list[str]:
        """Which nodes run now for that address, as messages."""
        return [run.executing for run in self._runs.values() if run.client_id == sid and run.executing]

    def heard(self, frame: Frame) -> Iterable[tuple[Run, Frame]]:
        """The frame with its prompt, and before it those that came when the prompt was not known."""
        if frame.job_id in self._ended:
            return ()
        run = self._runs.get(frame.job_id)
        if run is not None:
            return ((run, frame),)
        self.keep(frame)
        prompt_id = _data_of(frame.body).get("prompt_id") if isinstance(frame.body, str) else None
        return self.expected(Run(frame.job_id, prompt_id, frame.client_id)) if isinstance(prompt_id, str) else ()

    def keep(self, frame: Frame) -> None:
        """For when it is known which prompt that is."""
        early = self._early.setdefault(frame.job_id, [])
        if len(early) < MAX_EARLY:
            early.append(frame)

    def expected(self, run: Run) -> list[tuple[Run, Frame]]:
        """A prompt that has not ended; gives what was heard of it too early."""
        if run.job_id in self._ended:
            return []
        known = self._runs.setdefault(run.job_id, run)
        if len(self._runs) > MAX_RUNS:
            del self._runs[next(iter(self._runs))]
        return [(known, frame) for frame in self._early.pop(run.job_id, ())]

    def ended(self, job_id: JobId) -> Run | None:
        """The prompt, for the last time; None when its end was told before."""
        self._early.pop(job_id, None)
        if job_id in self._ended:
            return None
        self._ended[job_id] = clock.monotonic()
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        return self._runs.pop(job_id, None)

    def maker_of(self, file: File) -> JobId | None:
        """The job that runs and told of this file."""
        return next((job_id for job_id, run in self._runs.items() if file in run.files), None)

    def begun(self) -> list[JobId]:
        """Those that run, as far as was heard."""
        return [job_id for job_id, run in self._runs.items() if run.began]

    def told_within(self, seconds: float) -> list[JobId]:
        """Whose end was told so lately."""
        since = clock.monotonic() - seconds
        return list(itertools.takewhile(lambda job_id: self._ended[job_id] >= since, reversed(self._ended)))

    def untold(self, job_ids: Iterable[JobId]) -> list[JobId]:
        """Those of them whose end was not told."""
        return [job_id for job_id in job_ids if job_id not in self._ended]


def run_of(entry: Entry) -> Run:
    """A prompt whose end is the first that is heard of it."""
    return Run(entry.job.id, entry.prompt_id, entry.prompt.client_id if entry.prompt else None)


def _with_start(entry: Entry, before: list[Message]) -> list[Message]:
    """Nobody hears an end without a beginning: some clients take no notice of what they saw no start of."""
    if any(kind == START for kind, _ in before):
        return before
    when = wire.millis(entry.job.started_at or entry.job.finished_at or entry.job.created_at)
    return [(START, {"prompt_id": entry.prompt_id, "timestamp": when}), *before]


def _executed(entry: Entry) -> Iterator[tuple[str, Message]]:
    """The message of each node that showed something, by the node."""
    meta: Mapping[str, Any] = entry.report.meta if entry.report else {}
    for node, output in wire.outputs(entry).items():
        place = cast("dict[str, Any]", meta.get(node) or {})
        display_node = place.get("display_node", node)
        data = {"node": node, "display_node": display_node, "output": output, "prompt_id": entry.prompt_id}
        yield node, ("executed", data)


def _files(output: object) -> Iterator[File]:
    """The files among what a node shows."""
    for shown in as_object(output).values():
        for one in map(as_object, cast("list[object]", shown) if isinstance(shown, list) else ()):
            match one:
                case {"filename": str(name), "subfolder": str(subfolder), "type": str(kind)}:
                    yield kind, subfolder, name
                case _:
                    continue


def _data_of(text: str) -> dict[str, Any]:
    """The data of a message; empty if it has none."""
    try:
        data = json.loads(text).get("data")
    except (ValueError, RecursionError, AttributeError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}
