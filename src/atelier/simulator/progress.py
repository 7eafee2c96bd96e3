"""Who watches a prompt sees each node start, advance and finish."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.simulator.sockets import Sockets


@dataclass(slots=True)
class Progress:
    """The progress of one prompt, sent as `progress_state` and `progress` to its client, or to all without one."""

    sockets: Sockets
    prompt_id: str
    client_id: str | None
    _nodes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def start(self, node_id: str) -> None:
        self._set(node_id, 0.0, 1.0, "running")

    def finish(self, node_id: str) -> None:
        """Finished at its maximum; a cached node was never started and counts 1 of 1."""
        self._set(node_id, None, None, "finished")

    def advance(
        self, node_id: str, value: float, maximum: float, preview: bytes | None = None, mime: str = "image/jpeg"
    ) -> None:
        """One step. A preview comes before `progress` with metadata and after it without (as recorded)."""
        self._set(node_id, value, maximum, "running")
        early = self.sockets.wants_metadata(self.client_id)
        if preview is not None and early:
            self._preview(node_id, preview, mime)
        data = {"value": value, "max": maximum, "prompt_id": self.prompt_id, "node": node_id}
        self.sockets.send("progress", data, self.client_id)
        if preview is not None and not early:
            self._preview(node_id, preview, mime)

    def _preview(self, node_id: str, preview: bytes, mime: str) -> None:
        about = {"node_id": node_id, "prompt_id": self.prompt_id, **_places(node_id)}
        self.sockets.send_preview(preview, mime, about, self.client_id)

    def _set(self, node_id: str, value: float | None, maximum: float | None, state: str) -> None:
        top = self._nodes.get(node_id, {}).get("max", 1) if maximum is None else maximum
        self._nodes[node_id] = {
            "value": top if value is None else value,
            "max": top,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.prompt_id,
            **_places(node_id),
        }
        data = {"prompt_id": self.prompt_id, "nodes": self._nodes}
        self.sockets.send("progress_state", data, self.client_id)


def _places(node_id: str) -> Mapping[str, Any]:
    return {"display_node_id": node_id, "parent_node_id": None, "real_node_id": node_id}
