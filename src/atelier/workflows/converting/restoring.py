"""A file's `widgets_values` come back to the widgets that they were taken from, by place as the editor does it."""

from collections.abc import Mapping, Sequence
from typing import Any

from atelier.comfy.catalog import as_list, as_object
from atelier.workflows.converting.classes import NodeClass
from atelier.workflows.converting.drawing import Drawn, chosen, counted
from atelier.workflows.converting.scene import Widget

CUSTOM_COMBO = "CustomCombo"
POWER_LORAS = "Power Lora Loader (rgthree)"


def restored(one: Drawn, node_class: NodeClass, values: Sequence[Any] | Mapping[str, Any]) -> None:
    """By place; by name where a pack's script kept a mapping (VideoHelperSuite)."""
    if node_class.name == CUSTOM_COMBO:
        one.widgets += [Widget("index", "index", -1), Widget("option1", "option", "")]
    if isinstance(values, Mapping):
        _by_name(one, values)
        return
    _by_place(one, _compacted(one, node_class, values))
    if node_class.name == POWER_LORAS:
        one.widgets += _power_loras(values)


def _by_place(one: Drawn, values: Sequence[Any]) -> None:
    """A choice brings widgets behind itself, which take the next places: the list is read while it grows."""
    at = place = 0
    while at < len(one.widgets) and place < len(values):
        widget = one.widgets[at]
        at += 1
        if widget.saved:
            give(one, widget, values[place])
            place += 1


def _by_name(one: Drawn, values: Mapping[str, Any]) -> None:
    at = 0
    while at < len(one.widgets):
        widget = one.widgets[at]
        at += 1
        if widget.saved and widget.name in values:
            give(one, widget, values[widget.name])


def give(one: Drawn, widget: Widget, value: Any) -> None:
    widget.value = value
    match widget.kind:
        case "area":
            widget.value = as_text(value)
        case "dynamic":
            chosen(one, widget)
        case "rows":
            counted(one, widget)
        case "option":
            _optioned(one, widget)
        case _:
            pass


def _optioned(one: Drawn, widget: Widget) -> None:
    """A combo of one's own has one empty line more than it has choices."""
    last = one.widgets[-1]
    if last is widget:
        if widget.value:
            one.widgets.append(Widget(f"option{len(one.widgets) - 1}", "option", ""))
    elif not widget.value and one.widgets[-2] is widget and not last.value:
        one.widgets.pop()


def as_text(value: Any) -> str:
    """What a text field makes of what is put into it."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return _listed(value)


def _listed(value: Any) -> str:
    items = as_list(value)
    if items is not None:
        return ",".join(as_text(item) for item in items[:1000] if not isinstance(item, list))
    return "[object Object]" if isinstance(value, dict) else str(value)


def _compacted(one: Drawn, node_class: NodeClass, values: Sequence[Any]) -> Sequence[Any]:
    """Values of older files have places also for inputs that are sockets alone now (`forceInput`), which fall out.

    Source: migrateWidgetsValues of the editor.
    """
    if any(widget.kind == "rows" for widget in one.widgets):
        return values
    forced = _forced(one, node_class)
    if True not in forced and len(values) == sum(widget.saved for widget in one.widgets):
        return values
    kept = [value for at, value in enumerate(values) if at >= len(one.widgets) or one.widgets[at].saved]
    aligned = kept if len(kept) == len(forced) else values if len(values) == len(forced) else None
    if aligned is None:
        return values
    return [value for value, is_forced in zip(aligned, forced, strict=True) if not is_forced]


def _forced(one: Drawn, node_class: NodeClass) -> list[bool]:
    saved = {widget.name: widget.saved for widget in one.widgets}
    places: list[bool] = []
    for spec in node_class.inputs:
        forced = bool(spec.options.get("forceInput"))
        if saved.get(spec.name, forced):
            places += [forced, False] if spec.options.get("control_after_generate") else [forced]
    return places


def _power_loras(values: Sequence[Any]) -> list[Widget]:
    """Rows of rgthree's loader, which its own script draws: it numbers them and sends each whole."""
    rows = [row for value in values if (row := as_object(value)) is not None and "lora" in row]
    return [Widget(f"lora_{number}", "row", row, saved=False) for number, row in enumerate(rows, 1)]
