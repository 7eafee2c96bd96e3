"""Nodes that only scripts of the editor know: some vanish, some name a wire, some need their script."""

from atelier.workflows.converting.scene import MARKDOWN_NOTE, NOTE, PRIMITIVE, REROUTE

REROUTES = frozenset({REROUTE, "Reroute (rgthree)"})
"""Output 0 is what feeds input 0."""

SETTERS = frozenset({"SetNode", "easy setNode"})
GETTERS = frozenset({"GetNode", "easy getNode"})
"""A getter's output is what feeds the setter of its name, their first value (KJNodes, Easy-Use)."""

REMARKS = frozenset(
    {
        NOTE,
        MARKDOWN_NOTE,
        "Label (rgthree)",
        "Bookmark (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Fast Groups Bypasser (rgthree)",
        "Fast Muter (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Actions Button (rgthree)",
        "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)",
        "Random Unmuter (rgthree)",
        "Node Collector (rgthree)",
    }
)
"""For whoever looks at the graph, or for their mouse: nothing of them is run."""

VIRTUAL = REROUTES | SETTERS | GETTERS | REMARKS | {PRIMITIVE}

SCRIPTED = frozenset(
    {
        "Anything Everywhere",
        "Anything Everywhere?",
        "Anything Everywhere3",
        "Prompts Everywhere",
        "Seed Everywhere",
    }
)
"""Their script draws wires only when the graph is queued: the file does not have them."""
