"""What feeds an input is followed through everything that no server sees: reroutes, bypassed nodes, subgraphs.

Source: ExecutableNodeDTO of the editor. Followed step by step, not by recursion: a file may chain thousands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from atelier.workflows.converting.exported import INPUTS_ID
from atelier.workflows.converting.refusals import Why, cannot
from atelier.workflows.converting.scene import BYPASSED, MUTED, Placed, Scene, Widget
from atelier.workflows.converting.scripts import GETTERS, REROUTES, SETTERS

MOST_STEPS = 3_000_000
"""For all inputs of a workflow together."""


@dataclass(frozen=True, slots=True)
class At:
    """One node in one instance of its graph. `path` are the instances around it, outermost first."""

    path: tuple[Placed, ...]
    scene: Scene
    node: Placed

    @property
    def id(self) -> str:
        return ":".join([*(one.id for one in self.path), self.node.id])

    def beside(self, node: Placed) -> "At":
        return At(self.path, self.scene, node)

    def within(self, node: Placed) -> "At":
        inside = self.node.inside
        return At((*self.path, self.node), inside or self.scene, node)


@dataclass(frozen=True, slots=True)
class Source:
    """Output number `output` of a node that a server runs."""

    at: At
    output: int


@dataclass(frozen=True, slots=True)
class _Input:
    at: At
    slot: int
    type: str | None


@dataclass(frozen=True, slots=True)
class _Output:
    at: At
    slot: int
    type: str


_Step = _Input | _Output
_Found = Source | Widget | None


class Follower:
    """Follows inputs of one opened workflow, whose outermost graph is `root`."""

    def __init__(self, root: Scene) -> None:
        self._root = root
        self._steps = 0

    def feeds(self, at: At, slot: int) -> _Found:
        """What feeds this socket: an output, a promoted widget's value, or nothing. Raises CannotConvert."""
        step: _Step | _Found = _Input(at, slot, None)
        seen: set[tuple[str, str, int]] = set()
        while isinstance(step, _Input | _Output):
            key = (type(step).__name__, step.at.id, step.slot)
            if key in seen:
                raise cannot(Why.CYCLE, f"What feeds node {at.id} comes back to itself.", at.id, at.node.node.type)
            seen.add(key)
            self._count()
            step = self._from_input(step) if isinstance(step, _Input) else self._from_output(step)
        return step

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise cannot(Why.TOO_BIG, "Its nodes are wired through too many reroutes.")

    def _from_input(self, step: _Input) -> _Step | _Found:
        sockets = step.at.node.sockets
        if not 0 <= step.slot < len(sockets):
            return None
        socket = sockets[step.slot]
        link = socket.link
        if link is None:
            return None
        if link.origin == INPUTS_ID and step.at.path:
            return self._outside(step.at, link.origin_slot)
        origin = step.at.scene.nodes.get(link.origin)
        if origin is None:
            message = (
                f"Input {socket.name!r} of node {step.at.id} is linked to node {link.origin}, which is not there."
            )
            raise cannot(Why.BROKEN_LINK, message, step.at.id, step.at.node.node.type)
        return _Output(step.at.beside(origin), link.origin_slot, step.type or socket.type)

    def _outside(self, at: At, slot: int) -> _Step | _Found:
        """Out of the subgraph: what feeds its instance, or the value that the instance shows."""
        instance = at.path[-1]
        if not 0 <= slot < len(instance.sockets):
            raise cannot(Why.BROKEN_LINK, f"Node {at.id} is linked to an input that its subgraph has not.", at.id)
        if instance.sockets[slot].link is None:
            return instance.promoted.get(slot)
        outer = at.path[-2].inside if len(at.path) > 1 else self._root
        return _Input(At(at.path[:-1], outer or self._root, instance), slot, None)

    def _from_output(self, step: _Output) -> _Step | _Found:
        node = step.at.node
        if node.node.mode == MUTED:
            return None
        if node.node.mode == BYPASSED:
            slot = bypass(node, step.slot, step.type)
            return None if slot is None else _Input(step.at, slot, None)
        if node.inside is not None:
            return self._inside(step)
        if node.node.type in GETTERS:
            return self._named(step)
        if node.node.type in REROUTES | SETTERS:
            return _Input(step.at, step.slot, step.type)
        return None if node.virtual else Source(step.at, step.slot)

    def _inside(self, step: _Output) -> _Step | _Found:
        """Into the subgraph: what feeds its output."""
        inside = step.at.node.inside
        gates = inside.outputs if inside else []
        if inside is None or not 0 <= step.slot < len(gates):
            raise cannot(Why.BROKEN_LINK, f"Output {step.slot} of subgraph {step.at.id} is not there.", step.at.id)
        link = next((inside.links[one] for one in gates[step.slot].links if one in inside.links), None)
        if link is None:
            return None
        if link.origin == INPUTS_ID:
            return _Input(step.at, link.origin_slot, step.type)
        origin = inside.nodes.get(link.origin)
        if origin is None:
            raise cannot(
                Why.BROKEN_LINK, f"Output {step.slot} of subgraph {step.at.id} is linked to no node.", step.at.id
            )
        return _Output(step.at.within(origin), link.origin_slot, step.type)

    def _named(self, step: _Output) -> _Step | _Found:
        """A getter's setter: in its own graph or in one around it."""
        name = first_value(step.at.node)
        path, scene = step.at.path, step.at.scene
        while True:
            self._steps += len(scene.nodes) // 10
            for other in scene.nodes.values():
                if other.node.type in SETTERS and first_value(other) == name and name:
                    return _Input(At(path, scene, other), 0, step.type)
            if not path:
                return None
            path = path[:-1]
            scene = path[-1].inside or self._root if path else self._root


def first_value(node: Placed) -> object:
    values = node.node.values
    return values[0] if values and not isinstance(values, Mapping) else None


def bypass(node: Placed, output: int, wanted: str) -> int | None:
    """The socket that a bypassed node's output stands for.

    That of the same number if the types allow, else the first of exactly this type, else the first that fits.
    """
    sockets = node.sockets
    if wanted in {"*", ""}:
        return output if len(sockets) > output else 0 if sockets else None
    made = node.outputs[output] if 0 <= output < len(node.outputs) else "*"
    if 0 <= output < len(sockets) and _fits(sockets[output].type, made, wanted):
        return output
    exact = (slot for slot, one in enumerate(sockets) if one.type == wanted)
    loose = (slot for slot, one in enumerate(sockets) if _fits(one.type, made, wanted))
    return next(exact, next(loose, None))


def _fits(kind: str, *others: str) -> bool:
    return all(may_link(kind, other) for other in others)


def may_link(one: str, other: str) -> bool:
    """Types may be lists with commas; `*` is every type (LiteGraph.isValidConnection)."""
    if one in {"", "*", "0"} or other in {"", "*", "0"} or one == other:
        return True
    return bool(set(one.lower().split(",")) & set(other.lower().split(",")))
