"""Classes in the forms that the recorded server has not: choices that bring inputs, groups that grow, odd widgets.

Shapes: comfy_api.latest._io of ComfyUI (DynamicCombo, Autogrow, MatchType), as /object_info prints them.
"""

from typing import Any


def made(
    name: str, required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    outputs = more.pop("outputs", ["IMAGE"])
    return {
        "input": {"required": required, "optional": optional or {}},
        "input_order": {"required": list(required), "optional": list(optional or {})},
        "output": outputs,
        "output_is_list": [False] * len(outputs),
        "output_name": outputs,
        "name": name,
        "display_name": name,
        "description": "",
        "category": "test",
        "python_module": "custom_nodes.test",
        "output_node": False,
        **more,
    }


INT = ["INT", {"default": 3, "min": 0, "max": 100}]
FLOAT = ["FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}]
TEXT = ["STRING", {"default": "t", "multiline": False}]
COMBO = ["COMBO", {"options": ["a", "b", "c"]}]


def _choice(key: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"key": key, "inputs": {"required": required, "optional": optional or {}}}


CHOICES = [
    _choice("none", {}),
    _choice("text", {"steps": INT, "note": TEXT}),
    _choice("image", {"image": ["IMAGE", {}], "strength": FLOAT}, {"mask": ["MASK", {}]}),
    _choice(
        "nested",
        {"inner": ["COMFY_DYNAMICCOMBO_V3", {"options": [_choice("x", {}), _choice("y", {"deep": INT})]}]},
    ),
    _choice(
        "grows",
        {
            "pictures": [
                "COMFY_AUTOGROW_V3",
                {"template": {"input": {"required": {"p": ["IMAGE", {}]}}, "prefix": "p", "min": 1, "max": 5}},
            ]
        },
    ),
    _choice("seeded", {"seed": ["INT", {"default": 0, "min": 0, "max": 1000, "control_after_generate": True}]}),
]

EXTRA: dict[str, Any] = {
    "TestDynamic": made("TestDynamic", {"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": CHOICES}], "after": INT}),
    "TestGrows": made(
        "TestGrows",
        {
            "images": [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"image": ["IMAGE", {}]}},
                        "prefix": "image",
                        "min": 2,
                        "max": 6,
                    }
                },
            ],
            "named": [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"v": ["INT", {"forceInput": True}]}},
                        "names": ["a", "b", "c"],
                        "min": 1,
                    }
                },
            ],
            "tail": FLOAT,
        },
    ),
    "TestSwitch": made(
        "TestSwitch",
        {
            "switch": ["BOOLEAN", {"default": False}],
            "on_false": ["COMFY_MATCHTYPE_V3", {"template": {"allowed_types": "*", "template_id": "t"}}],
            "on_true": ["COMFY_MATCHTYPE_V3", {"template": {"allowed_types": "*", "template_id": "t"}}],
        },
        outputs=["COMFY_MATCHTYPE_V3"],
        output_matchtypes=["t"],
    ),
    "TestRows": made(
        "TestRows",
        {
            "rows": [
                "COMFY_DYNAMICGROUP_V3",
                {
                    "template": {"required": {"name": TEXT, "weight": FLOAT}},
                    "min": 1,
                    "max": 4,
                    "group_name": "row",
                },
            ],
            "after": INT,
        },
    ),
    "TestForced": made(
        "TestForced",
        {
            "first": INT,
            "forced": ["INT", {"default": 1, "forceInput": True}],
            "seed": ["INT", {"default": 0, "control_after_generate": True}],
        },
        {"last": TEXT},
    ),
    "TestWidgets": made(
        "TestWidgets",
        {
            "color": ["COLOR", {"default": "#ff0000"}],
            "box": ["BOUNDING_BOX", {"default": {"x": 1, "y": 2, "width": 3, "height": 4}}],
            "boxes": ["BOUNDING_BOXES", {}],
            "range": ["RANGE", {}],
            "colors": ["COLORS", {}],
            "area": ["TEXTAREA", {"default": "x"}],
            "many": ["COMBO", {"options": ["a", "b", "c"], "multi_select": True}],
            "list": [["p", "q"], {"default": "q", "control_after_generate": True}],
            "drawn": ["STRING", {"widgetType": "COLOR", "default": "#00ff00"}],
            "step": ["INT", {"default": 8, "min": 8, "max": 64, "step": 8}],
            "round": ["FLOAT", {"default": 0.0, "min": -10.0, "max": 10.0, "step": 0.25, "round": 0.01}],
            "flag": ["BOOLEAN", {"default": True}],
        },
    ),
    "TestFreely": made("TestFreely", {"value": ["*", {}], "either": ["IMAGE,MASK", {}]}, outputs=["*", "MASK"]),
    "CustomCombo": made("CustomCombo", {"choice": ["COMBO", {"options": []}]}, outputs=["STRING", "INT"]),
}
