"""How far a run is, from what its socket says: every snapshot is whole, and the value never goes back."""

from collections.abc import Mapping
from typing import Any

from atelier.comfy.messages import Executing, ExecutionCached, Message, ProgressState
from atelier.comfy.messages import Progress as StepMessage
from atelier.jobs.model import Progress


class Gauge:
    """Counts finished nodes of one attempt; the current node's steps fill the gap to the next."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._classes = {node_id: str(node["class_type"]) for node_id, node in graph.items()}
        self._done: set[str] = set()
        self._current: str | None = None
        self._step: tuple[float, float] | None = None
        self._value = 0.0

    def take(self, message: Message) -> Progress | None:
        """The new snapshot, or None when this message changes nothing."""
        match message:
            case ExecutionCached(nodes=nodes):
                self._done.update(nodes)
            case Executing(node=str(node)):
                self._enter(node)
            case ProgressState(nodes=nodes):
                self._done.update(name for name, state in nodes.items() if state.state == "finished")
            case StepMessage(node=node, value=value, max=most) if most > 0:
                self._steps(node, value, most)
            case _:
                return None
        return self._snapshot()

    def _enter(self, node: str) -> None:
        if self._current is not None:
            self._done.add(self._current)
        self._current, self._step = node, None

    def _steps(self, node: str | None, value: float, most: float) -> None:
        if node is not None and node != self._current:
            self._enter(node)
        self._step = (value, most)

    def _snapshot(self) -> Progress:
        total = max(len(self._classes), 1)
        done = len(self._done & self._classes.keys())
        part = min(self._step[0] / self._step[1], 1.0) if self._step and self._current not in self._done else 0.0
        self._value = min(max(self._value, (done + part) / total), 1.0)
        return Progress(
            value=round(self._value, 4),
            nodes_done=done,
            nodes_total=len(self._classes),
            current_node=self._current,
            current_node_class=self._classes.get(self._current or ""),
            step=int(self._step[0]) if self._step else None,
            steps=int(self._step[1]) if self._step else None,
        )
