"""Which inputs are widgets in the editor, how many places each takes, what it holds until a value is restored.

Source: the editor's widget constructors (comfyui-frontend-package 1.58, scripts/widgets and extensions/core).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from atelier.comfy.catalog import InputSpec, as_list, as_object
from atelier.workflows.converting.scene import MISSING, Widget

COMBO = "COMBO"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
DYNAMIC_GROUP = "COMFY_DYNAMICGROUP_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"

UPLOAD = "IMAGEUPLOAD"
AUDIO_UI = "AUDIO_UI"
AUDIO_UPLOAD = "AUDIOUPLOAD"
PREVIEW_3D = "PREVIEW_3D"

BROWSER = frozenset({"WEBCAM", "AUDIO_RECORD", "LOAD_3D", "LOAD_3D_ANIMATION", "LOAD_3D_ADVANCED"})
"""What only a browser can fill: the camera, the microphone, a scene as somebody turned it."""

MOST_ROWS = 100
SEEDS = frozenset({"seed", "noise_seed"})
BOX = ("x", "y", "width", "height")
BOX_DEFAULT = {"x": 0, "y": 0, "width": 512, "height": 512}
CURVE_DEFAULT = {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"}

Make = Callable[[InputSpec], list[Widget]]


def kind_of(spec: InputSpec) -> str:
    """What the editor draws it as: its `widgetType`, or else its type."""
    named = spec.options.get("widgetType")
    if isinstance(named, str) and named:
        return named
    return COMBO if isinstance(spec.type, list) else str(spec.type)


def is_widget(spec: InputSpec) -> bool:
    return kind_of(spec) in MAKERS and not spec.options.get("forceInput")


def made(spec: InputSpec) -> list[Widget]:
    """The widgets of one input: its own first, then those beside it (control_after_generate…)."""
    return MAKERS[kind_of(spec)](spec)


def number(spec: InputSpec, step: float, kind: str) -> Widget:
    options = {
        "min": 0,
        "max": 2048,
        "step": step,
        **{key: one for key, one in spec.options.items() if one is not None},
    }
    default = spec.options.get("default")
    return Widget(spec.name, kind, 0 if default is None else default, options=options)


def _integer(spec: InputSpec) -> list[Widget]:
    asked = spec.options.get("control_after_generate")
    controlled = spec.name in SEEDS if asked is None else bool(asked)
    return [number(spec, 1, "int"), *_control(controlled)]


def _float(spec: InputSpec) -> list[Widget]:
    return [number(spec, 0.5, "float"), *_control(spec.options.get("control_after_generate"))]


def _control(controlled: object) -> list[Widget]:
    """What becomes of a seed after each run is the editor's own affair."""
    if not controlled:
        return []
    return [Widget("control_after_generate", COMBO, "randomize", sent=False)]


def _combo(spec: InputSpec) -> list[Widget]:
    if spec.options.get("multi_select"):
        return [Widget(spec.name, "multi", [])]
    remote = as_object(spec.options.get("remote"))
    choices = spec.choices or []
    first = choices[0] if choices else "Loading..." if remote is not None else MISSING
    own = Widget(spec.name, COMBO, spec.options.get("default") or first, options={"values": choices})
    refresh = [] if remote is None else [Widget("Auto-refresh after generation", "toggle", False, sent=False)]
    if remote and remote.get("refresh_button"):
        refresh.append(Widget("refresh", "button", "refresh"))
    controlled = bool(spec.options.get("control_after_generate"))
    filtered = [Widget("control_filter_list", "text", "", sent=False)] if controlled else []
    return [own, *refresh, *_control(controlled), *filtered]


def _text(spec: InputSpec) -> list[Widget]:
    kind = "area" if spec.options.get("multiline") else "text"
    default = spec.options.get("default")
    return [Widget(spec.name, kind, "" if default is None else default, options=spec.options)]


def _box(spec: InputSpec) -> list[Widget]:
    start = as_object(spec.options.get("default")) or BOX_DEFAULT
    parts = [Widget(part, "int", start.get(part, 0), sent=False) for part in BOX]
    return [Widget(spec.name, "box", dict(start)), *parts]


def _plain(default: Any, *, saved: bool = True, sent: bool = True) -> Make:
    def make(spec: InputSpec) -> list[Widget]:
        given = spec.options.get("default")
        return [Widget(spec.name, kind_of(spec).lower(), default if given is None else given, saved, sent)]

    return make


def _dynamic(spec: InputSpec) -> list[Widget]:
    options = {str(key): inputs for key, inputs in dynamic_options(spec).items()}
    first = next(iter(options), MISSING)
    return [Widget(spec.name, "dynamic", first, options={"values": list(options), "inputs": options})]


def _rows(spec: InputSpec) -> list[Widget]:
    least, most = (_count(spec.options.get(key), default) for key, default in (("min", 0), ("max", MOST_ROWS)))
    template = as_object(spec.options.get("template")) or {}
    options = {"min": min(least, most), "max": most, "template": template}
    return [Widget(spec.name, "rows", options["min"], sent=False, options=options)]


def _count(value: Any, default: int) -> int:
    return (
        min(value, MOST_ROWS) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
    )


def dynamic_options(spec: InputSpec) -> Mapping[str, Mapping[str, Any]]:
    """What each choice of a dynamic combo brings: its inputs, grouped as those of a node are."""
    rows = (as_object(one) or {} for one in as_list(spec.options.get("options")) or [])
    return {str(one.get("key")): as_object(one.get("inputs")) or {} for one in rows}


MAKERS: Mapping[str, Make] = {
    "INT": _integer,
    "FLOAT": _float,
    "BOOLEAN": _plain(False),
    "STRING": _text,
    COMBO: _combo,
    "MARKDOWN": lambda spec: [Widget(spec.name, "area", spec.options.get("default") or "")],
    "TEXTAREA": _plain(""),
    "COLOR": _plain("#000000"),
    "COLORS": _plain([]),
    "BOUNDING_BOX": _box,
    "BOUNDING_BOXES": _plain([]),
    "CURVE": _plain(CURVE_DEFAULT),
    "RANGE": _plain({"min": 0.0, "max": 1.0}),
    "PAINTER": _plain(MISSING),
    "COMPOSITOR": _plain(MISSING),
    "IMAGECOMPARE": _plain(["", ""], saved=False),
    "CHART": _plain({}),
    "GALLERIA": _plain([]),
    "VIDEO_EDIT": _plain(MISSING),
    UPLOAD: _plain("image", sent=False),
    AUDIO_UI: _plain("", saved=False, sent=False),
    AUDIO_UPLOAD: _plain("", sent=False),
    PREVIEW_3D: _plain(""),
    DYNAMIC_COMBO: _dynamic,
    DYNAMIC_GROUP: _rows,
    **{kind: _plain("") for kind in BROWSER},
}


def settled(widget: Widget, value: Any) -> Any:
    """The value as the editor's own field takes it when something sets it: in steps, rounded as by JavaScript."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    match widget.kind:
        case "int":
            return _stepped(value, widget.options)
        case "float":
            return _rounded(float(value), widget.options)
        case _:
            return value


def _stepped(value: float, options: Mapping[str, Any]) -> int | float:
    step, least = options.get("step") or 1, options.get("min") or 0
    if step == 1:
        return _whole(value)
    offset = math.fmod(least, step)
    return _whole((value - offset) / step) * step + offset


def _whole(value: float) -> int:
    """`Math.round`: halves go up."""
    return value if isinstance(value, int) else math.floor(value + 0.5)


def _rounded(value: float, options: Mapping[str, Any]) -> float:
    step = options.get("step") or 0.5
    precision = max(0, -math.floor(math.log10(step))) if step > 0 else 0
    unit = options.get("round") or (10**-precision if precision else None)
    if not unit:
        return value
    rounded = float(round(math.floor(value / unit + 0.5) * unit, precision))
    least, most = float(options.get("min", -math.inf)), float(options.get("max", math.inf))
    return min(max(rounded, least), most)
