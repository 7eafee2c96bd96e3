"""A graph is judged against a node catalogue as ComfyUI judges it: same verdict, same shapes, whatever the graph.

The walk is ComfyUI's own (from each output node upstream, each node once), but its frames lie on a list instead of
the interpreter's stack, so a cycle or a chain of thousands of nodes ends in a verdict and not in a crash.
Errors stand in declared order; ComfyUI walks a set, so there the order changes from start to start.
"""

import enum
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from atelier.comfy import validation_errors as errors
from atelier.comfy.catalog import Catalog, NodeSpec, as_object
from atelier.comfy.validation_errors import NodeError
from atelier.comfy.validation_inputs import FileCheck, Finding, Ignore, NodeInputs, Outcome, Surroundings

MAX_DEPTH = 970
"""Links from an output node upstream that ComfyUI 0.3.64 follows before it answers RecursionError (recorded)."""

MAX_NAMED = 100
"""Nodes named in one error (blamed outputs, a cycle). ComfyUI has no bound; a hostile graph would use it."""

_ACCIDENTS = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

_Frame: TypeAlias = Generator[str, Outcome, Finding]


class Generation(enum.Enum):
    """Whose words are used where servers differ: 0.3.64 of October 2025, or those of 2026."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ComfyUI would answer. `error` is None if any output node is good.

    `graph` has its values converted as ComfyUI converts them ("64" -> 64); the caller's own graph is untouched.
    `node_errors` may name nodes although `error` is None: then only the good `outputs` would run.
    """

    graph: dict[str, Any]
    outputs: tuple[str, ...]
    error: NodeError | None
    node_errors: dict[str, Any]


def validate(  # noqa: PLR0913 - each is one thing that an asker may allow
    graph: Mapping[str, Any],
    object_info: Mapping[str, Any] | Catalog,
    *,
    partial_targets: Collection[Any] | None = None,
    skip_files: bool = False,
    ignore: Ignore | None = None,
    files: FileCheck | None = None,
    generation: Generation = Generation.OLD,
    max_depth: int | None = MAX_DEPTH,
) -> Verdict:
    """Judge `graph` (API format) against `object_info` (the answer of `/object_info`, or a Catalog of it).

    `partial_targets`: only these output nodes count. `skip_files` accepts each uploaded file by name; else `files`
    decides, else the catalogue's list. `ignore` accepts single values unseen. `max_depth` None: no bound.
    """
    catalog = object_info if isinstance(object_info, Catalog) else Catalog(object_info)
    nodes = dict(graph)
    if (fault := _missing_class(nodes, catalog, generation)) is not None:
        return Verdict(nodes, (), fault, {})
    outputs = _output_nodes(nodes, catalog, partial_targets)
    if not outputs:
        return Verdict(nodes, (), errors.no_outputs(), {})
    walk = _Walk(nodes, catalog, generation, max_depth)
    walk.around = Surroundings(nodes, catalog, ignore, files, skip_files, walk.blame)
    return _judged(walk, outputs)


def _missing_class(nodes: Mapping[str, Any], catalog: Catalog, generation: Generation) -> NodeError | None:
    for node_id, raw in nodes.items():
        node = as_object(raw) or {}
        if node.get("class_type") not in catalog:
            return _class_fault(node_id, node, generation)
    return None


def _class_fault(node_id: str, node: Mapping[str, Any], generation: Generation) -> NodeError:
    class_type = node.get("class_type")
    if generation is Generation.NEW:
        title = (as_object(node.get("_meta")) or {}).get("title", class_type or node_id)
        return errors.missing_node_type(node_id, class_type, title)
    if "class_type" not in node:
        return errors.missing_class_type(node_id)
    return errors.unknown_class_type(node_id, class_type)


def _output_nodes(nodes: Mapping[str, Any], catalog: Catalog, targets: Collection[Any] | None) -> tuple[str, ...]:
    wanted = None if targets is None else {target for target in targets if isinstance(target, str)}
    return tuple(
        node_id
        for node_id, node in nodes.items()
        if (spec := catalog.get(node["class_type"])) and spec.is_output and (wanted is None or node_id in wanted)
    )


def _judged(walk: "_Walk", outputs: tuple[str, ...]) -> Verdict:
    """ComfyUI blames a faulty node for every output that failed from then on, connected or not."""
    good: list[str] = []
    failed: list[str] = []
    blamed_from: dict[str, int] = {}
    for node_id in outputs:
        if walk.settle(node_id).valid:
            good.append(node_id)
            continue
        blamed_from |= dict.fromkeys(walk.take_faulty(), len(failed))
        failed.append(node_id)
    node_errors = {
        node_id: {
            "errors": list(walk.done[node_id].errors),
            "dependent_outputs": failed[first : first + MAX_NAMED],
            "class_type": walk.nodes[node_id]["class_type"],
        }
        for node_id, first in blamed_from.items()
    }
    own = [one for node_id in failed[:MAX_NAMED] for one in walk.done[node_id].errors]
    return Verdict(walk.converted(), tuple(good), None if good else errors.outputs_failed(own), node_errors)


@dataclass(slots=True)
class _Path:
    """The nodes between the output node and the one that is looked at now."""

    ids: list[str] = field(default_factory=list[str])
    frames: list[_Frame] = field(default_factory=list[_Frame])
    place: dict[str, int] = field(default_factory=dict[str, int])

    def push(self, node_id: str, frame: _Frame) -> None:
        self.place[node_id] = len(self.ids)
        self.ids.append(node_id)
        self.frames.append(frame)

    def pop(self) -> None:
        self.frames.pop()
        del self.place[self.ids.pop()]


@dataclass(slots=True)
class _Walk:
    nodes: dict[str, Any]
    catalog: Catalog
    generation: Generation
    max_depth: int | None
    around: Surroundings = field(init=False)
    done: dict[str, Finding] = field(default_factory=dict[str, Finding])
    _changed: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _cycles: dict[str, NodeError] = field(default_factory=dict[str, NodeError])
    _faulty: list[str] = field(default_factory=list[str])

    def take_faulty(self) -> list[str]:
        """Nodes with errors of their own that were found since the last call."""
        taken, self._faulty = self._faulty, []
        return taken

    def converted(self) -> dict[str, Any]:
        """The graph with every value as the nodes would be given it."""
        changed = {
            node_id: {**self.nodes[node_id], "inputs": {**self.nodes[node_id]["inputs"], **values}}
            for node_id, values in self._changed.items()
        }
        return {**self.nodes, **changed}

    def blame(self, node_id: str, fault: NodeError) -> None:
        """The node could not even be looked at."""
        self._finish(node_id, Finding(False, (fault,)))

    def settle(self, root: str) -> Finding:
        """The finding about `root` and, on the way, about everything upstream of it."""
        if root not in self.done:
            outcome = self._run(root)
            if isinstance(outcome, Exception):
                self.blame(root, errors.exception_during_validation(outcome))
        return self.done[root]

    def _run(self, root: str) -> Outcome:
        path = _Path()
        path.push(root, self._frame(root))
        reply: Outcome | None = None
        while True:
            try:
                upstream = next(path.frames[-1]) if reply is None else path.frames[-1].send(reply)
            except StopIteration as end:
                reply = self._finish(path.ids[-1], end.value)
            except _ACCIDENTS as accident:
                reply = accident
            else:
                reply = self._known(upstream, path)
                if reply is None:
                    path.push(upstream, self._frame(upstream))
                continue
            path.pop()
            if not path.ids:
                return reply

    def _known(self, node_id: str, path: _Path) -> Outcome | None:
        """What can be said about `node_id` without looking at its inputs, or None."""
        if node_id in self.done:
            return self.done[node_id]
        if node_id in path.place:
            self._note_cycle(path.ids[path.place[node_id] :][:MAX_NAMED])
            return Finding(valid=False)
        if self.max_depth is not None and len(path.ids) >= self.max_depth:
            return RecursionError("maximum recursion depth exceeded while calling a Python object")
        return None

    def _note_cycle(self, cycle: list[str]) -> None:
        """In a cycle 0.3.64 runs out of stack, and its outer frames then forget the reason: no error is left."""
        if self.generation is Generation.OLD or cycle[0] in self._cycles:
            return
        titles = [f"{node_id} ({self.nodes[node_id]['class_type']})" for node_id in [*cycle, cycle[0]]]
        for node_id in cycle:
            self._cycles.setdefault(node_id, errors.dependency_cycle(node_id, cycle, titles))

    def _finish(self, node_id: str, finding: Finding) -> Finding:
        if node_id in self._cycles:
            finding = Finding(False, (*finding.errors, self._cycles[node_id]))
        self.done[node_id] = finding
        if finding.errors:
            self._faulty.append(node_id)
        return finding

    def _frame(self, node_id: str) -> _Frame:
        node = self.nodes[node_id]
        spec = self.catalog.get(node["class_type"]) or NodeSpec("", (), (), is_output=False)
        inputs = NodeInputs(self.around, spec, node["inputs"])
        finding = yield from inputs.look()
        if inputs.converted:
            self._changed[node_id] = inputs.converted
        return finding
