"""The client of a native prompt is told of its run as if its own server ran it, and what was told is reported.

Ends are told, with what was never heard, when history can be read (wire contract 5): not here. A beginning is told
once, however many attempts a job takes.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from atelier.comfy.catalog import Catalog, as_list
from atelier.comfy.client import HistoryEntry
from atelier.comfy.links import Graph
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
    Preview,
    Progress,
    ProgressState,
    Status,
    Unknown,
)
from atelier.comfy.replies import as_object
from atelier.comfy.rewriting import (
    Terms,
    binary_frame,
    event_data,
    message,
    shortened,
    text_frame,
    value,
    written_names,
)
from atelier.jobs.model import Claim, JobError
from atelier.jobs.prompt import Report, Told
from atelier.jobs.relay import Frame, FrameKind, Relay
from atelier.kit import clock

SHORTEST_SECRET = 8
"""Characters; what is shorter is a word that stands elsewhere, too."""

MAX_SHOWN = 4 * 1024 * 1024
"""Characters of JSON that history keeps of what a run shows; beyond that its long texts are cut."""

_STARTS = frozenset({"execution_start", "execution_cached"})

_OURS = frozenset(
    {"status", "feature_flags", "execution_start", "execution_success", "execution_error", "execution_interrupted"}
)
"""What clients are told by us alone, also where a server spells it in a way that nobody knows."""


class Telling:
    """Of one attempt. What it collects is small: what a run shows, and when it began and ended."""

    def __init__(self, claim: Claim, told: Told, relay: Relay, *, adopted: bool) -> None:
        self._claim = claim
        self._told = told
        self._relay = relay
        self._terms = Terms(str(claim.prompt_id), told.prompt_id, told.position, secrets=_secrets(claim))
        self._began = told.began or (adopted and claim.attempt_state == "running")
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._outputs: dict[str, Any] = {}

    # Before it runs ----------------------------------------------------------------------------

    async def begin(self) -> None:
        """Know whether anybody listens."""
        if not self._relay.wanted(self._claim.account_id):
            await self._relay.look(self._claim.account_id)

    def placed(self, graph: Graph) -> None:
        """The graph as the server gets it: what files are called there is known from now on."""
        written = written_names(graph, self._told.prompt.shown)
        self._terms = dataclasses.replace(self._terms, written=written)

    def extra_data(self) -> dict[str, Any]:
        return dict(self._told.prompt.extra_data)

    def targets(self, graph: Graph, catalog: Catalog | None) -> Sequence[str] | None:
        """The nodes that it is run for, where the graph has more that could be."""
        wanted = self._told.prompt.outputs
        ends = {node_id for node_id, node in graph.items() if _is_output(node, catalog)}
        return wanted if wanted and not ends <= set(wanted) else None

    # While it runs -----------------------------------------------------------------------------

    def hear(self, heard: Message, frame: str | bytes, *, result: bool = False) -> None:
        """A message of this run and the frame that it came in. `result`: a picture that the run was made for."""
        match heard:
            case ExecutionStart() | ExecutionCached() | ExecutionSuccess() | ExecutionInterrupted():
                self._keep(heard, frame)
            case ExecutionError(blocked=False):
                self._keep(heard, frame)
            case Executed(node=node):
                self._show(node, frame)
            case Preview():
                self._pass_on(FrameKind.STATE if result else FrameKind.PREVIEW, frame)
            case _:
                self._others(heard, frame)

    def _others(self, heard: Message, frame: str | bytes) -> None:
        """A bare `progress` may be a sign that custom nodes give to their own client (wire contract 14)."""
        match heard:
            case Status() | FeatureFlags() | Executing(node=None) | Executing(prompt_id=None):
                pass
            case Unknown(type=kind) if kind in _OURS:
                pass
            case Progress(prompt_id=str(), node=node):
                self._pass_on(FrameKind.PROGRESS, frame, f"progress {node}")
            case ProgressState():
                self._pass_on(FrameKind.PROGRESS, frame, "state")
            case _:
                self._pass_on(FrameKind.STATE, frame)

    def begun(self) -> None:
        """It was seen to run; what the socket said of its beginning was perhaps lost."""
        if not self._began:
            now = int(clock.utcnow().timestamp() * 1000)
            self._start(message("execution_start", {"prompt_id": self._terms.theirs, "timestamp": now}))

    async def flush(self) -> None:
        """Until everybody could read what was told."""
        await self._relay.flush(self._claim.job_id)

    def _start(self, frame: str | bytes) -> None:
        if not self._began:
            self._began = True
            self._pass_on(FrameKind.STATE, frame)

    def _show(self, node: str, frame: str | bytes) -> None:
        """Its files are told under the names by which the client finds them."""
        data = event_data("executed", _data(frame), self._terms)
        if data.get("output") is not None:
            self._outputs[node] = data["output"]
        self._send(FrameKind.STATE, message("executed", data))

    def _keep(self, heard: Message, frame: str | bytes) -> None:
        """For the report; a start and what was cached are told at once."""
        document = as_object(json.loads(frame))
        event = str(document.get("type"))
        self._messages.append((event, event_data(event, as_object(document.get("data")), self._terms)))
        match heard:
            case ExecutionStart():
                self._start(frame)
            case ExecutionCached():
                self._pass_on(FrameKind.STATE, frame)
            case _:
                pass

    def _pass_on(self, kind: FrameKind, frame: str | bytes, key: str = "") -> None:
        if self._relay.wanted(self._claim.account_id):
            body = text_frame(frame, self._terms) if isinstance(frame, str) else binary_frame(frame, self._terms)
            self._send(kind, body, key)

    def _send(self, kind: FrameKind, body: str | bytes, key: str = "") -> None:
        claim, client_id = self._claim, self._told.prompt.client_id
        self._relay.send(Frame(claim.account_id, claim.job_id, client_id, kind, body, key))

    # When it has run ---------------------------------------------------------------------------

    def report(self, entry: HistoryEntry) -> Report:
        """What history shows of the run: the server's, or what the socket told where that was all of it."""
        if not entry.raw:
            meta = {node: _place(node) for node in self._outputs}
            return Report(_bounded(self._outputs), tuple(self._messages), meta)
        graph = _graph_of(entry)
        if graph is not None and not self._terms.written:
            self.placed(graph)
        return Report(
            outputs=_bounded(value(dict(as_object(entry.raw.get("outputs"))), self._terms)),
            messages=tuple((event, event_data(event, data, self._terms)) for event, data in entry.messages),
            meta=value(dict(as_object(entry.raw.get("meta"))), self._terms),
        )

    def failed(self, entry: HistoryEntry, error: JobError) -> Report:
        """A run that was stopped for a reason of ours: that is what its client reads as the error."""
        report = self.report(entry)
        stopped = as_object(dict(report.messages).get("execution_interrupted"))
        data: dict[str, Any] = {
            "prompt_id": self._told.prompt_id,
            "node_id": stopped.get("node_id"),
            "node_type": stopped.get("node_type"),
            "executed": stopped.get("executed", []),
            "exception_message": error.message,
            "exception_type": error.code,
            "traceback": [],
            "current_inputs": {},
            "current_outputs": [],
            "timestamp": stopped.get("timestamp", int(clock.utcnow().timestamp() * 1000)),
        }
        before = tuple(one for one in report.messages if one[0] in _STARTS)
        return dataclasses.replace(report, messages=(*before, ("execution_error", data)))


def _secrets(claim: Claim) -> frozenset[str]:
    texts = (str(secret) for secret in (claim.secrets or {}).values())
    return frozenset(text for text in texts if len(text) >= SHORTEST_SECRET)


def _bounded(outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What nodes show is mostly names of files; some show whole files as texts."""
    shown: Mapping[str, Any] = shortened(outputs) if len(json.dumps(outputs)) > MAX_SHOWN else outputs
    return shown


def _data(frame: str | bytes) -> Mapping[str, Any]:
    return as_object(as_object(json.loads(frame)).get("data"))


def _is_output(node: Mapping[str, Any], catalog: Catalog | None) -> bool:
    """Of a class that nobody knows it may be."""
    spec = catalog.get(node["class_type"]) if catalog else None
    return spec is None or spec.is_output


def _place(node: str) -> dict[str, Any]:
    return {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}


def _graph_of(entry: HistoryEntry) -> Graph | None:
    """The graph as the server ran it."""
    prompt = as_list(entry.raw.get("prompt")) or []
    graph = as_object(prompt[2] if len(prompt) > 2 else None)
    return {node_id: dict(as_object(node)) for node_id, node in graph.items()} or None
