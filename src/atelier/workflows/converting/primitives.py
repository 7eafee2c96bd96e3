"""A primitive's value is that of every widget that it feeds, settled as the editor settles it."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from atelier.workflows.converting.scene import MISSING, PRIMITIVE, Placed, Scene, Widget
from atelier.workflows.converting.widgets import settled

NUMBERS = frozenset({"int", "float"})
KINDS = {"int": "INT", "float": "FLOAT", "text": "STRING", "area": "STRING", "boolean": "BOOLEAN"}
REPLACES = "Run widget replace on values"
"""A primitive's property: texts in it name other widgets."""

CUSTOM_COMBO = "CustomCombo"


def applied(scenes: Iterable[Scene], said: Callable[[str], str]) -> None:
    """All primitives of all open graphs. `said` fills in a text with what it names."""
    for scene in scenes:
        primitives = [one for one in scene.nodes.values() if one.node.type == PRIMITIVE]
        for primitive in primitives:
            value = _value(scene, primitive)
            if isinstance(value, str) and value and primitive.node.properties.get(REPLACES):
                value = said(value)
            if value is not MISSING:
                _apply(scene, primitive, value)


def _apply(scene: Scene, primitive: Placed, value: Any) -> None:
    for target, slot in scene.fed_from(primitive, 0):
        widget = target.widget_at(slot)
        if widget is not None:
            widget.value = value if target.inside is not None else settled(widget, value)


def _value(scene: Scene, primitive: Placed) -> Any:
    """What its file says, unless it fed a widget of another type then; else what the first says that it feeds.

    Of numbers: within the bounds of all that it feeds.
    """
    targets = scene.fed_from(primitive, 0)
    widget = targets[0][0].widget_at(targets[0][1]) if targets else None
    if widget is None:
        return MISSING
    target, slot = targets[0]
    values = primitive.node.values
    same = primitive.outputs[:1] == [target.sockets[slot].type]
    value = values[0] if same and not isinstance(values, Mapping) and values else widget.value
    fed = [one for node, at in targets if (one := node.widget_at(at)) is not None]
    return _bounded(widget, value, fed) if widget.kind in NUMBERS else value


def _bounded(widget: Widget, value: Any, fed: Iterable[Widget]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    least = max((one.options.get("min", -math.inf) for one in fed if one.kind == widget.kind), default=-math.inf)
    most = min((one.options.get("max", math.inf) for one in fed if one.kind == widget.kind), default=math.inf)
    value = min(max(value, least), most) if least <= most else value
    return settled(replace(widget, options={**widget.options, "min": least, "max": most}), value)
