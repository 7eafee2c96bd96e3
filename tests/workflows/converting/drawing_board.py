"""Files of the editor, drawn by hand: nodes and wires by name, in the shapes that its versions save."""

from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass
class Board:
    """One graph. An input is `name: type` or `name: (type, widget name)`; `wired` says what feeds it."""

    nodes: list[Document] = field(default_factory=list[Document])
    links: list[list[Any]] = field(default_factory=list[list[Any]])
    extra: Document = field(default_factory=dict[str, Any])
    inputs: list[Document] = field(default_factory=list[Document])
    outputs: list[Document] = field(default_factory=list[Document])
    first_id: int = 1

    def node(
        self,
        kind: str,
        values: Any = None,
        inputs: dict[str, Any] | None = None,
        outputs: dict[str, str] | None = None,
        **more: Any,
    ) -> Any:
        """The new node's id."""
        node_id = more.pop("id", len(self.nodes) + self.first_id)
        slots = [_slot(name, said) for name, said in (inputs or {}).items()]
        made = {
            "id": node_id,
            "type": kind,
            "pos": [len(self.nodes) * 300, 0],
            "size": [200, 100],
            "flags": {},
            "order": len(self.nodes),
            "mode": 0,
            "inputs": slots,
            "outputs": [{"name": name, "type": said, "links": []} for name, said in (outputs or {}).items()],
            "properties": {},
            **({"widgets_values": values} if values is not None else {}),
            **more,
        }
        self.nodes.append(made)
        return node_id

    def wire(self, origin: Any, output: int, target: Any, name: str, *, kind: str = "*") -> int:
        """The new link's id. `target` -20: the subgraph's output of that name; `origin` -10: its input."""
        number = len(self.links) + 1
        slot = self._slot_of(target, name, number)
        self.links.append([number, origin, output, target, slot, kind])
        if origin == -10:
            self.inputs[output]["linkIds"].append(number)
        elif origin in self.ids():
            outputs = self.of(origin)["outputs"]
            if output < len(outputs):
                outputs[output]["links"].append(number)
        return number

    def ids(self) -> list[Any]:
        return [node["id"] for node in self.nodes]

    def of(self, node_id: Any) -> Document:
        return next(node for node in self.nodes if node["id"] == node_id)

    def takes(self, name: str, kind: str) -> int:
        """A new input of the subgraph: its number."""
        self.inputs.append({"id": f"in-{len(self.inputs)}", "name": name, "type": kind, "linkIds": []})
        return len(self.inputs) - 1

    def gives(self, name: str, kind: str) -> None:
        self.outputs.append({"id": f"out-{len(self.outputs)}", "name": name, "type": kind, "linkIds": []})

    def file(self, *subgraphs: Document, **more: Any) -> Document:
        """As version 0.4 saves it."""
        return {
            "last_node_id": max([one for one in self.ids() if isinstance(one, int)], default=0),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": self.extra,
            "version": 0.4,
            **({"definitions": {"subgraphs": list(subgraphs)}} if subgraphs else {}),
            **more,
        }

    def file_of_1(self, *subgraphs: Document) -> Document:
        """As version 1 saves it: links are objects."""
        made = self.file(*subgraphs, version=1, links=[_as_object(link) for link in self.links])
        made["state"] = {"lastNodeId": made.pop("last_node_id"), "lastLinkId": made.pop("last_link_id")}
        return {**made, "state": {**made["state"], "lastGroupId": 0, "lastRerouteId": 0}}

    def subgraph(self, subgraph_id: str, name: str = "Inner") -> Document:
        return {
            "id": subgraph_id,
            "version": 1,
            "state": {"lastGroupId": 0, "lastNodeId": 99, "lastLinkId": 99, "lastRerouteId": 0},
            "revision": 0,
            "config": {},
            "name": name,
            "inputNode": {"id": -10, "bounding": [0, 0, 100, 100]},
            "outputNode": {"id": -20, "bounding": [900, 0, 100, 100]},
            "inputs": self.inputs,
            "outputs": self.outputs,
            "widgets": [],
            "nodes": self.nodes,
            "groups": [],
            "links": [_as_object(link) for link in self.links],
            "extra": {},
        }

    def _slot_of(self, target: Any, name: str, number: int) -> int:
        if target == -20:
            slot = next(at for at, one in enumerate(self.outputs) if one["name"] == name)
            self.outputs[slot]["linkIds"].append(number)
            return slot
        if target not in self.ids():
            return 0
        slots = self.of(target)["inputs"]
        found = next((at for at, one in enumerate(slots) if one["name"] == name), None)
        if found is None:
            return 0
        slots[found]["link"] = number
        return int(found)


def _slot(name: str, said: Any) -> Document:
    kind, widget = said if isinstance(said, tuple) else (said, None)
    return {"name": name, "type": kind, "link": None, **({"widget": {"name": widget}} if widget else {})}


def _as_object(link: list[Any]) -> Document:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return dict(zip(names, link, strict=True))
