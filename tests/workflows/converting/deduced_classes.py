"""Classes that the recorded server has not, deduced from the templates that use them.

What a class takes is read from all its nodes in all templates: names, types, which are widgets, what choices
bring. It need not be what the class really takes: editor and converter are asked with the same schemas.
"""

import collections
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Node = dict[str, Any]

SIMPLE = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
VIRTUAL = frozenset({"Note", "MarkdownNote", "PrimitiveNode", "Reroute"})
SEEDS = frozenset({"seed", "noise_seed"})
MODES = frozenset({"fixed", "randomize", "increment", "decrement"})
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
_NUMBERED = re.compile(r"^(.*?)(\d+)$")


def deduced(documents: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of /object_info for all classes that no known server has."""
    nodes: dict[str, list[Node]] = collections.defaultdict(list)
    for document in documents:
        for node in _nodes(document):
            if node["type"] not in known and node["type"] not in VIRTUAL:
                nodes[node["type"]].append(node)
    return {name: _Class(name, several).entry() for name, several in nodes.items()}


def sheets(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The workflow and all its subgraphs."""
    return [document, *document.get("definitions", {}).get("subgraphs", [])]


def _nodes(document: Mapping[str, Any]) -> Iterator[Node]:
    own = {one["id"] for one in sheets(document)[1:]}
    for sheet in sheets(document):
        yield from (node for node in sheet["nodes"] if node["type"] not in own)


class _Class:
    def __init__(self, name: str, nodes: Sequence[Node]) -> None:
        self.name = name
        self.types: dict[str, str] = {}
        self.widgets: set[str] = set()
        self.values: dict[str, list[Any]] = collections.defaultdict(list)
        self.choices: dict[str, dict[str, dict[str, None]]] = collections.defaultdict(dict)
        self.outputs: list[Node] = []
        for node in nodes:
            self._see(node)

    def _see(self, node: Node) -> None:
        found = dict(self._values(node))
        for slot in node.get("inputs") or []:
            name = slot["name"]
            self.types[name] = slot["type"] if isinstance(slot["type"], str) else "*"
            if self.types[name] == DYNAMIC and isinstance(found.get(name), str):
                self.choices[name].setdefault(found[name], {})
            parent, _, own = name.rpartition(".")
            if isinstance(found.get(parent), str):
                self.choices[parent].setdefault(found[parent], {})[own] = None
        self.outputs = max(self.outputs, node.get("outputs") or [], key=len)

    def _values(self, node: Node) -> Iterator[tuple[str, Any]]:
        """The widgets' values by name, as far as their places tell."""
        given = node.get("widgets_values")
        values = given if isinstance(given, list) else []
        place = 0
        for slot in node.get("inputs") or []:
            if not slot.get("widget"):
                continue
            name = slot["name"]
            self.widgets.add(name)
            if place < len(values):
                self.values[name].append(values[place])
                yield name, values[place]
            place += 1
            if name in SEEDS and place < len(values) and values[place] in MODES:
                place += 1

    def entry(self) -> dict[str, Any]:
        inputs = {name: self._spec(name) for name in self.types if "." not in name} | self._growing()
        ordered = {
            name: inputs[name]
            for name in dict.fromkeys(one.partition(".")[0] for one in self.types)
            if name in inputs
        }
        outputs = [one["type"] if isinstance(one["type"], str) else "*" for one in self.outputs]
        return {
            "input": {"required": ordered},
            "input_order": {"required": list(ordered)},
            "output": outputs,
            "output_is_list": [False] * len(outputs),
            "output_name": [one.get("name", "") for one in self.outputs],
            "name": self.name,
            "display_name": self.name,
            "description": "",
            "category": "deduced",
            "python_module": "custom_nodes.deduced",
            "output_node": not outputs or self.name.startswith(("Save", "Preview")),
        }

    def _spec(self, name: str) -> list[Any]:
        kind = self.types[name]
        if kind == DYNAMIC:
            return [kind, {"options": self._options(name)}]
        if name not in self.widgets:
            return [kind, {"forceInput": True} if kind in SIMPLE else {}]
        return [kind, self._bounds(name, kind)]

    def _options(self, name: str) -> list[dict[str, Any]]:
        """A first choice that brings only sockets cannot be drawn: one that brings nothing stands before it."""
        made = [
            {"key": key, "inputs": {"required": {own: self._spec(f"{name}.{own}") for own in brought}}}
            for key, brought in self.choices[name].items()
        ]
        first = next(iter(self.choices[name].values()), {})
        drawable = any(f"{name}.{own}" in self.widgets for own in first)
        return made if drawable else [{"key": "(nothing)", "inputs": {}}, *made]

    def _bounds(self, name: str, kind: str) -> dict[str, Any]:
        values = self.values[name]
        match kind:
            case "COMBO":
                fit = [one for one in values if isinstance(one, str | int | float) and not isinstance(one, bool)]
                return {"options": list(dict.fromkeys(fit)) or ["x"]}
            case "INT":
                return {"default": 0, "min": -(2**53), "max": 2**53}
            case "FLOAT":
                return {"default": 0.0, "min": -1e9, "max": 1e9, "step": 0.01}
            case "STRING":
                return {"default": "", "multiline": any(isinstance(one, str) and "\n" in one for one in values)}
            case "BOOLEAN":
                return {"default": False}
            case _:
                return {}

    def _growing(self) -> dict[str, list[Any]]:
        """Inputs `images.image0`, `images.image1`… where nothing is called `images`: a group that grows."""
        groups: dict[str, dict[str, Any]] = {}
        for name, kind in self.types.items():
            group, _, own = name.partition(".")
            if not own or "." in own or group in self.types or name in self.widgets:
                continue
            numbered = _NUMBERED.match(own)
            known = groups.get(group)
            if numbered and (known is None or known.get("prefix") == numbered[1]):
                key = numbered[1] or "v"
                template = {"prefix": numbered[1], "input": {"required": {key: [kind, {}]}}, "min": 1, "max": 50}
                groups[group] = template
            elif known is None or "names" in known:
                template = {"names": [], "input": {"required": {"v": [kind, {}]}}, "min": 1}
                groups.setdefault(group, template)["names"].append(own)
        return {name: ["COMFY_AUTOGROW_V3", {"template": template}] for name, template in groups.items()}
