"""One thread runs one prompt at a time and tells its client each step in the order in which ComfyUI tells it.

Order (recorded): execution_start, execution_cached, for each node progress_state and executing, then executed if
it shows something, then progress_state; at last execution_success, execution_error or execution_interrupted.
History is written, `status` goes to all, and `executing {node: null}` comes last, if the prompt named a client.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.catalog import as_object
from atelier.simulator.cache import Kept, OutputCache
from atelier.simulator.catalogue import Catalogue
from atelier.simulator.folders import OutsideFolderError
from atelier.simulator.nodes.call import Blocked, Call, Interrupted, Later, Made, NodeFailed, Workshop
from atelier.simulator.nodes.registry import NODES, ON_THE_GPU
from atelier.simulator.nodes.testing import WAITING
from atelier.simulator.order import Order, links
from atelier.simulator.progress import Progress
from atelier.simulator.prompt_queue import Prompt
from atelier.simulator.sockets import Sockets

OUT_OF_MEMORY = "torch.OutOfMemoryError"
_OUT_OF_MEMORY_WORDS = (
    "Allocation on device \nThis error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked "
    "before you might have accidentally set the batch_size to a large number."
)
_CUDA_FAULT = "torch.AcceleratorError"
_CUDA_FAULT_WORDS = (
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported at "
    "some other API call, so the stacktrace below might be incorrect.\n"
)
_REAL_NAMES: Mapping[type[Exception], str] = {OutsideFolderError: "Exception"}
"""Exceptions of ours under the names that the real server reports."""

_DYNAMIC_CYCLE = "graph.DependencyCycleError"


@dataclass(frozen=True, slots=True)
class Result:
    """What history shows of a run."""

    outputs: dict[str, Any]
    meta: dict[str, Any]
    status: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"outputs": self.outputs, "meta": self.meta}


@dataclass(frozen=True, slots=True)
class Engine:
    """What every run needs; lives as long as the server and belongs to the worker thread."""

    shop: Workshop
    catalogue: Catalogue
    sockets: Sockets
    cache: OutputCache

    def run(self, prompt: Prompt) -> Result:
        return _Run(self, prompt, Progress(self.sockets, prompt.id, prompt.client_id)).go()


@dataclass(slots=True)
class _Run:
    engine: Engine
    prompt: Prompt
    progress: Progress
    messages: list[list[Any]] = field(default_factory=list[list[Any]])
    executed: list[str] = field(default_factory=list[str])
    succeeded: bool = True

    def go(self) -> Result:
        self._tell("execution_start", {"prompt_id": self.prompt.id})
        self.engine.cache.begin(self.prompt.graph)
        cached = [node_id for node_id in self.prompt.graph if self.engine.cache.get(node_id) is not None]
        self._tell("execution_cached", {"nodes": cached, "prompt_id": self.prompt.id})
        if self._run_nodes():
            self._tell("execution_success", {"prompt_id": self.prompt.id})
        self.engine.sockets.executing = None
        return self._result()

    def _run_nodes(self) -> bool:
        """Run what is not cached; False as soon as a node fails or somebody interrupts."""
        order = Order(self.prompt.graph, self._is_urgent, self._is_done)
        for output in self.prompt.outputs:
            order.add(output)
        pending: dict[str, Callable[[], Made]] = {}
        while (node_id := order.pick() or next(iter(pending), None)) is not None:
            try:
                later = self._step(node_id, pending.pop(node_id, None))
            except Interrupted:
                return self._interrupted(node_id)
            except Exception as error:  # noqa: BLE001 - a node may raise anything, and ComfyUI reports whatever it is
                return self._failed(node_id, error)
            if later is None:
                order.done(node_id)
            else:
                order.hold(node_id)
                pending[node_id] = later.finish
        return True

    def _step(self, node_id: str, finish: Callable[[], Made] | None) -> Later | None:
        """Show a cached node, start one, or finish one that waited; a node that waits now comes back."""
        kept = self.engine.cache.get(node_id)
        if kept is not None:
            self._show(node_id, kept.ui)
            self.progress.finish(node_id)
            return None
        made = self._start(node_id) if finish is None else finish()
        if isinstance(made, Later):
            return made
        self._keep(node_id, made)
        return None

    def _start(self, node_id: str) -> Made | Later:
        self.progress.start(node_id)
        if self.prompt.client_id is not None:
            self.engine.sockets.executing = (self.prompt.client_id, node_id)
        self._send("executing", {"node": node_id, "display_node": node_id, "prompt_id": self.prompt.id})
        return self._made(node_id, self.prompt.graph[node_id])

    def _keep(self, node_id: str, made: Made) -> None:
        meta = {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
        self.engine.cache.keep(node_id, Kept(made.outputs, made.ui, meta))
        if made.ui is not None:
            self._show(node_id, made.ui)
        self.progress.finish(node_id)
        self.executed.append(node_id)

    def _made(self, node_id: str, node: Mapping[str, Any]) -> Made | Later:
        self.engine.shop.sleep(0.0)
        if self.engine.shop.faults.use("out_of_memory") is not None:
            raise NodeFailed(OUT_OF_MEMORY, _OUT_OF_MEMORY_WORDS)
        if node["class_type"] in ON_THE_GPU and self.engine.shop.faults.is_on("cuda_fault"):
            raise NodeFailed(_CUDA_FAULT, _CUDA_FAULT_WORDS)
        inputs = self._inputs(node)
        blocked = next((value for value in inputs.values() if isinstance(value, Blocked)), None)
        if blocked is not None:
            return self._blocked(node_id, node, blocked)
        return NODES[node["class_type"]](self._call(node_id, inputs))

    def _call(self, node_id: str, inputs: Mapping[str, Any]) -> Call:
        pnginfo = as_object(self.prompt.extra_data.get("extra_pnginfo")) or {}

        def watch(value: float, maximum: float, preview: bytes | None = None, mime: str = "image/jpeg") -> None:
            self.progress.advance(node_id, value, maximum, preview, mime)

        def say(text: str) -> None:
            self.engine.sockets.send_text(text, node_id, self.prompt.client_id)

        def send(event: str, data: Mapping[str, Any]) -> None:
            self.engine.sockets.send(event, data, self.prompt.client_id)

        graph = self.engine.cache.marked()
        return Call(self.engine.shop, self.prompt.id, node_id, inputs, graph, pnginfo, watch, say, send)

    def _inputs(self, node: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = dict(as_object(node.get("inputs")) or {})
        for name, source, slot in links(node):
            kept = self.engine.cache.get(source)
            if kept is None:
                msg = f"Node {source} not found"
                raise NodeFailed("comfy_execution.graph.NodeNotFoundError", msg)
            values[name] = kept.outputs[slot]
        return values

    def _blocked(self, node_id: str, node: Mapping[str, Any], blocked: Blocked) -> Made:
        """With words, a block is told like an error that does not end the run (recorded: no timestamp)."""
        spec = self.engine.catalogue.catalog.get(node["class_type"])
        if blocked.message is not None:
            told = self._error(node_id, f"Execution Blocked: {blocked.message}", "ExecutionBlocked", [], [])
            self.engine.sockets.send("execution_error", {**told, "current_outputs": []}, self.prompt.client_id)
            return Made()
        return Made((blocked,) * len(spec.outputs if spec else ()))

    def _failed(self, node_id: str, error: Exception) -> bool:
        kind = _type_name(error)
        is_cycle = kind == _DYNAMIC_CYCLE
        self.succeeded = is_cycle
        words = str(error) if is_cycle or isinstance(error, NodeFailed) else f"{error}\n"
        trace = [] if is_cycle else traceback.format_tb(error.__traceback__)
        inputs: Any = [] if is_cycle else self._shown_inputs(node_id)
        self._tell("execution_error", self._error(node_id, words, kind, trace, inputs))
        return False

    def _error(self, node_id: str, words: str, kind: str, trace: list[str], inputs: object) -> dict[str, Any]:
        return {
            "prompt_id": self.prompt.id,
            "node_id": node_id,
            "node_type": self.prompt.graph[node_id]["class_type"],
            "executed": list(self.executed),
            "exception_message": words,
            "exception_type": kind,
            "traceback": trace,
            "current_inputs": inputs,
            "current_outputs": list(self.prompt.graph),
        }

    def _interrupted(self, node_id: str) -> bool:
        self.succeeded = False
        data = {
            "prompt_id": self.prompt.id,
            "node_id": node_id,
            "node_type": self.prompt.graph[node_id]["class_type"],
            "executed": list(self.executed),
        }
        self._tell("execution_interrupted", data, to_all=True)
        return False

    def _shown_inputs(self, node_id: str) -> dict[str, list[Any]]:
        given = as_object(self.prompt.graph[node_id].get("inputs")) or {}
        linked = {name for name, _, _ in links(self.prompt.graph[node_id])}
        return {name: [f"<{name}>" if name in linked else value] for name, value in given.items()}

    def _show(self, node_id: str, ui: dict[str, Any] | None) -> None:
        data = {"node": node_id, "display_node": node_id, "output": ui, "prompt_id": self.prompt.id}
        self._send("executed", data)

    def _tell(self, kind: str, data: dict[str, Any], *, to_all: bool = False) -> None:
        """A message that history keeps as well."""
        stamped = {**data, "timestamp": int(time.time() * 1000)}
        self.messages.append([kind, stamped])
        self._send(kind, stamped, to_all=to_all)

    def _send(self, kind: str, data: Mapping[str, Any], *, to_all: bool = False) -> None:
        if self.prompt.client_id is not None or to_all:
            self.engine.sockets.send(kind, data, self.prompt.client_id)

    def _result(self) -> Result:
        shown = {
            node_id: kept
            for node_id in self.prompt.graph
            if (kept := self.engine.cache.get(node_id)) is not None and kept.ui is not None
        }
        status = {
            "status_str": "success" if self.succeeded else "error",
            "completed": self.succeeded,
            "messages": self.messages,
        }
        return Result(
            {node_id: kept.ui for node_id, kept in shown.items()},
            {node_id: kept.meta for node_id, kept in shown.items()},
            status,
        )

    def _is_urgent(self, node_id: str) -> bool:
        class_type = self.prompt.graph[node_id]["class_type"]
        spec = self.engine.catalogue.catalog.get(class_type)
        return class_type in WAITING or (spec is not None and spec.is_output)

    def _is_done(self, node_id: str) -> bool:
        """Cached, or not there at all: then the node that asks for it fails, instead of the whole thread."""
        return node_id not in self.prompt.graph or self.engine.cache.get(node_id) is not None


def _type_name(error: Exception) -> str:
    """The name as ComfyUI prints it: with the module, except for Python's own."""
    if isinstance(error, NodeFailed):
        return error.exception_type
    kind = type(error)
    plain = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return _REAL_NAMES.get(kind, plain)
