"""A graph while the editor has it open: nodes with sockets and widgets, and who feeds which socket.

Unlike everything else here these are changed in place, as the editor changes them while it loads a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.workflows.converting.exported import Link, Node, Sheet

MUTED = 2
BYPASSED = 4
"""Modes of nodes (litegraph's LGraphEventMode NEVER and BYPASS)."""

NOTE = "Note"
MARKDOWN_NOTE = "MarkdownNote"
REROUTE = "Reroute"
PRIMITIVE = "PrimitiveNode"


class Missing:
    """JavaScript's `undefined`: a widget without a value is not sent at all."""


MISSING = Missing()


@dataclass(slots=True)
class Widget:
    """`saved`: it has a place among a node's `widgets_values`. `sent`: its value goes to the server.

    `options` are those of its input in /object_info, with the defaults that the editor has for them.
    """

    name: str
    kind: str
    value: Any
    saved: bool = True
    sent: bool = True
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Socket:
    """An input that can be fed; `widget` names the widget that it stands for."""

    name: str
    type: str
    widget: str | None = None
    link: Link | None = None


@dataclass(slots=True)
class Placed:
    """A node of an open graph. `virtual`: it never reaches a server. `inside`: what an instance is made of.

    An instance's sockets are those of its subgraph, in their order; its widgets are the promoted ones by their
    sockets' places.
    """

    node: Node
    title: str
    virtual: bool
    sockets: list[Socket]
    widgets: list[Widget]
    outputs: list[str]
    inside: "Scene | None" = None
    promoted: dict[int, Widget] = field(default_factory=dict[int, Widget])
    drawn: bool = True

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def off(self) -> bool:
        return self.node.mode in {MUTED, BYPASSED}

    def widget(self, name: str | None) -> Widget | None:
        return next((one for one in self.widgets if one.name == name), None)

    def widget_at(self, slot: int) -> Widget | None:
        """The widget that this socket stands for."""
        if self.inside is not None:
            return self.promoted.get(slot)
        socket = self.sockets[slot] if 0 <= slot < len(self.sockets) else None
        return self.widget(socket.widget) if socket and socket.widget is not None else None


@dataclass(slots=True)
class Gate:
    """An input or output of a subgraph; `links` are those inside, in the order they were made."""

    name: str
    type: str
    links: list[int]


@dataclass(slots=True)
class Scene:
    """One open graph. `instances` are the nodes, anywhere, that are made of it."""

    sheet: Sheet
    nodes: dict[str, Placed] = field(default_factory=dict[str, Placed])
    links: dict[int, Link] = field(default_factory=dict[int, Link])
    inputs: list[Gate] = field(default_factory=list[Gate])
    outputs: list[Gate] = field(default_factory=list[Gate])
    instances: list[Placed] = field(default_factory=list[Placed])
    _starts: dict[tuple[str, int], list[int]] | None = None

    def fed_by(self, link_id: int) -> tuple[Placed, int] | None:
        """The node and the number of its socket that this link feeds."""
        link = self.links.get(link_id)
        target = self.nodes.get(link.target) if link else None
        if link is None or target is None:
            return None
        return next(((target, slot) for slot, one in enumerate(target.sockets) if one.link is link), None)

    def fed_from(self, node: Placed, output: int) -> list[tuple[Placed, int]]:
        """What output number `output` of `node` feeds, in the order of the links."""
        found = (self.fed_by(one) for one in self.starts().get((node.id, output), ()))
        return [one for one in found if one is not None]

    def add(self, link: Link) -> None:
        self.links[link.id] = link
        self._starts = None

    def drop(self, link_id: int) -> None:
        self.links.pop(link_id, None)
        self._starts = None

    def starts(self) -> dict[tuple[str, int], list[int]]:
        """Links by where they begin; made anew when there are others."""
        if self._starts is None:
            self._starts = {}
            for link in self.links.values():
                self._starts.setdefault((link.origin, link.origin_slot), []).append(link.id)
        return self._starts
