"""Graphs drawn by hand, each for one thing that files of the editor have."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflows.converting.drawing_board import Board, Document
from workflows.converting.extra_classes import EXTRA

RECORDED = Path(__file__).parents[2] / "recordings" / "object_info.json.gz"

MODEL_OUT = {"MODEL": "MODEL", "CLIP": "CLIP", "VAE": "VAE"}
IMAGE_OUT = {"IMAGE": "IMAGE"}
LATENT_OUT = {"LATENT": "LATENT"}
SAMPLER_IN = {"model": "MODEL", "positive": "CONDITIONING", "negative": "CONDITIONING", "latent_image": "LATENT"}
SAMPLER_WIDGETS = {
    "seed": ("INT", "seed"),
    "steps": ("INT", "steps"),
    "cfg": ("FLOAT", "cfg"),
    "sampler_name": ("COMBO", "sampler_name"),
    "scheduler": ("COMBO", "scheduler"),
    "denoise": ("FLOAT", "denoise"),
}
SAMPLER_VALUES = [42, "randomize", 12, 6.5, "euler", "normal", 0.9]
SUB = "11111111-2222-4333-8444-55555555550"

Draw = Callable[[], Document]
_DRAWN: dict[str, Draw] = {}


def graph(draw: Draw) -> Draw:
    _DRAWN[draw.__name__] = draw
    return draw


def recorded() -> dict[str, Any]:
    with gzip.open(RECORDED) as file:
        table: dict[str, Any] = json.load(file)
    return table


def object_info() -> dict[str, Any]:
    """The recorded classes and those in forms that the recorded server has not."""
    return {**recorded(), **EXTRA}


def all_graphs() -> dict[str, Document]:
    drawn = {name: json.loads(json.dumps(draw())) for name, draw in _DRAWN.items()}
    return {**drawn, **every_class()}


def picture(board: Board, **more: Any) -> Any:
    """An image that something makes."""
    return board.node("EmptyImage", [64, 64, 1, 0], {}, IMAGE_OUT, **more)


def saved(board: Board, origin: Any, output: int = 0, prefix: str = "ComfyUI") -> int:
    node = board.node("SaveImage", [prefix], {"images": "IMAGE", "filename_prefix": ("STRING", "filename_prefix")})
    board.wire(origin, output, node, "images", kind="IMAGE")
    return int(node)


def text_to_image(board: Board, *, widgets: bool = True) -> dict[str, int]:
    """The usual chain; `widgets`: inputs of widgets are saved as newer versions do."""
    loader = board.node("CheckpointLoaderSimple", ["v1.safetensors"], {}, MODEL_OUT)
    text_in: dict[str, Any] = {"clip": "CLIP", **({"text": ("STRING", "text")} if widgets else {})}
    positive = board.node("CLIPTextEncode", ["a lighthouse"], text_in, {"CONDITIONING": "CONDITIONING"})
    negative = board.node(
        "CLIPTextEncode", ["rain"], dict(text_in), {"CONDITIONING": "CONDITIONING"}, title="Not this"
    )
    latent = board.node("EmptyLatentImage", [512, 768, 2], {}, LATENT_OUT)
    sampler_in = {**SAMPLER_IN, **(SAMPLER_WIDGETS if widgets else {})}
    sampler = board.node("KSampler", list(SAMPLER_VALUES), sampler_in, LATENT_OUT)
    decode = board.node("VAEDecode", None, {"samples": "LATENT", "vae": "VAE"}, IMAGE_OUT)
    board.wire(loader, 0, sampler, "model", kind="MODEL")
    board.wire(loader, 1, positive, "clip", kind="CLIP")
    board.wire(loader, 1, negative, "clip", kind="CLIP")
    board.wire(positive, 0, sampler, "positive", kind="CONDITIONING")
    board.wire(negative, 0, sampler, "negative", kind="CONDITIONING")
    board.wire(latent, 0, sampler, "latent_image", kind="LATENT")
    board.wire(sampler, 0, decode, "samples", kind="LATENT")
    board.wire(loader, 2, decode, "vae", kind="VAE")
    save = saved(board, decode)
    names = ("loader", "positive", "negative", "latent", "sampler", "decode", "save")
    return dict(zip(names, (loader, positive, negative, latent, sampler, decode, save), strict=True))


def rewire(board: Board, target: int, name: str, origin: Any, output: int = 0) -> None:
    """What fed the input before feeds it no more."""
    slot = next(one for one in board.of(target)["inputs"] if one["name"] == name)
    if slot["link"] is not None:
        board.links[:] = [link for link in board.links if link[0] != slot["link"]]
    number = max((link[0] for link in board.links), default=0) + 1
    slot["link"] = number
    board.links.append([number, origin, output, target, board.of(target)["inputs"].index(slot), slot["type"]])
    if origin in board.ids() and output < len(board.of(origin)["outputs"]):
        board.of(origin)["outputs"][output]["links"].append(number)


# The forms of a file


@graph
def form_of_newer_versions() -> Document:
    board = Board()
    text_to_image(board)
    return board.file()


@graph
def form_of_older_versions() -> Document:
    board = Board()
    text_to_image(board, widgets=False)
    return board.file()


@graph
def links_as_objects() -> Document:
    board = Board()
    text_to_image(board)
    return board.file_of_1()


@graph
def ids_as_texts() -> Document:
    board = Board()
    image = picture(board, id="12:3")
    saved(board, image)
    return board.file()


@graph
def widget_made_an_input_in_an_older_version() -> Document:
    board = Board()
    at = text_to_image(board, widgets=False)
    board.of(at["sampler"])["inputs"].append(
        {"name": "steps", "type": "INT", "link": None, "widget": {"name": "steps"}}
    )
    number = board.node("PrimitiveInt", [30, "fixed"], {}, {"INT": "INT"})
    rewire(board, at["sampler"], "steps", number)
    return board.file()


@graph
def two_links_into_one_input() -> Document:
    board = Board()
    first, second = picture(board), picture(board)
    save = saved(board, first)
    board.links.append([9, second, 0, save, 0, "IMAGE"])
    return board.file()


@graph
def link_that_no_input_names() -> Document:
    board = Board()
    image = picture(board)
    save = saved(board, image)
    board.of(save)["inputs"][0]["link"] = None
    return board.file()


@graph
def link_of_an_input_that_is_not_there() -> Document:
    board = Board()
    save = saved(board, picture(board))
    board.of(save)["inputs"][0]["link"] = 77
    return board.file()


@graph
def native_reroutes() -> Document:
    board = Board()
    saved(board, picture(board))
    board.extra = {
        "reroutes": [{"id": 1, "pos": [10, 10], "linkIds": [1]}],
        "linkExtensions": [{"id": 1, "parentId": 1}],
    }
    return board.file()


@graph
def floating_links() -> Document:
    board = Board()
    image = picture(board)
    saved(board, image)
    floating = {
        "id": 50,
        "origin_id": image,
        "origin_slot": 0,
        "target_id": -1,
        "target_slot": -1,
        "type": "IMAGE",
        "parentId": 4,
    }
    reroutes = [{"id": 4, "pos": [5, 5], "linkIds": [], "floating": {"slotType": "output"}}]
    return board.file_of_1() | {"floatingLinks": [floating], "reroutes": reroutes}


@graph
def notes_and_groups() -> Document:
    board = Board()
    saved(board, picture(board))
    board.node("Note", ["Mind the gap"])
    board.node("MarkdownNote", ["# Title\n\ntext"])
    return board.file(
        groups=[{"id": 1, "title": "All", "bounding": [0, 0, 900, 900], "color": "#3f789e", "flags": {}}]
    )


@graph
def where_nodes_came_from() -> Document:
    board = Board()
    image = picture(
        board, title="Blue", properties={"cnr_id": "comfy-core", "ver": "0.3.64", "Node name for S&R": "x"}
    )
    saved(board, image)
    return board.file()


# Values of widgets


@graph
def no_values_at_all() -> Document:
    board = Board()
    at = text_to_image(board)
    del board.of(at["sampler"])["widgets_values"]
    return board.file()


@graph
def too_few_values() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["sampler"])["widgets_values"] = [7, "fixed", 11]
    return board.file()


@graph
def too_many_values() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["latent"])["widgets_values"] = [512, 512, 1, "more", 5]
    return board.file()


@graph
def values_that_are_nothing() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["sampler"])["widgets_values"] = [None, None, None, None, None, None, None]
    board.of(at["positive"])["widgets_values"] = [None]
    return board.file()


@graph
def values_of_other_types() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["sampler"])["widgets_values"] = ["5", True, "12", "6.5", 3, False, "1"]
    board.of(at["positive"])["widgets_values"] = [12.5]
    board.of(at["negative"])["widgets_values"] = [["a", "b"]]
    return board.file()


@graph
def choice_that_is_not_among_the_choices() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["loader"])["widgets_values"] = ["not here.safetensors"]
    return board.file()


@graph
def old_name_of_a_sampler() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["sampler"])["widgets_values"] = [1, True, 20, 8, "sample_dpmpp_2m", "karras", 1]
    return board.file()


@graph
def control_after_generate() -> Document:
    board = Board()
    noise = {"noise_seed": ("INT", "noise_seed")}
    for mode in ("fixed", "increment", "decrement", "randomize"):
        board.node("RandomNoise", [11, mode], dict(noise), {"NOISE": "NOISE"})
    saved(board, picture(board))
    return board.file()


@graph
def sockets_that_were_widgets_once() -> Document:
    board = Board()
    board.node("TestForced", [5, 6, 7, "fixed", "end"], {"forced": "INT"})
    board.node("TestForced", [5, 7, "fixed", "end"], {"forced": "INT"})
    saved(board, picture(board))
    return board.file()


@graph
def files_to_upload() -> Document:
    board = Board()
    with_button = board.node("LoadImage", ["b_in.png", "image"], {}, {"IMAGE": "IMAGE", "MASK": "MASK"})
    board.node("LoadImage", ["other.png"], {"image": ("COMBO", "image")}, {"IMAGE": "IMAGE", "MASK": "MASK"})
    board.node("LoadImageMask", ["b_in.png", "red", "image"], {}, {"MASK": "MASK"})
    board.node("LoadImageOutput", ["x.png [output]", False, "refresh", "image"], {}, {"IMAGE": "IMAGE"})
    board.node("LoadAudio", ["a.flac", None, None], {}, {"AUDIO": "AUDIO"})
    board.node("LoadVideo", ["v.mp4", "image"], {}, {"VIDEO": "VIDEO"})
    saved(board, with_button)
    return board.file()


@graph
def odd_widgets() -> Document:
    board = Board()
    saved(board, picture(board))
    board.node("TestWidgets")
    values = [
        "#123456",
        {"x": 9, "y": 8, "width": 7, "height": 6},
        9,
        8,
        7,
        6,
        [{"x": 1}],
        {"min": 0.2, "max": 0.4},
    ]
    rest = [["#111111"], "text", ["a", "c"], "p", "fixed", "", "#abcdef", 33, 0.333, False]
    board.node("TestWidgets", values + rest)
    return board.file()


@graph
def choices_in_a_prompt() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["positive"])["widgets_values"] = [
        "{red|green} {a {tall|low}|b} tower // remark\nmore /* no */ end"
    ]
    board.of(at["negative"])["widgets_values"] = [r"\{kept|whole\} {open|rest"]
    return board.file()


@graph
def names_in_a_file_name() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["save"])["widgets_values"] = [
        "%KSampler.seed%/%Not this.text%_%KSampler.none%_%width%_%batch_num%"
    ]
    return board.file()


@graph
def lists_as_values() -> Document:
    board = Board()
    saved(board, picture(board))
    board.node("TestWidgets", ["#1", {}, 0, 0, 0, 0, [["1", 0]], {}, [], "", [["2", 0]]])
    return board.file()


# Primitives and reroutes


def _primitive(kind: str, values: list[Any] | None, name: str) -> Document:
    board = Board()
    at = text_to_image(board)
    primitive = board.node("PrimitiveNode", values, {}, {kind: kind})
    board.of(primitive)["outputs"][0]["widget"] = {"name": name}
    rewire(board, at["positive"] if name == "text" else at["sampler"], name, primitive)
    return board.file()


@graph
def primitive_seed() -> Document:
    return _primitive("INT", [777, "randomize"], "seed")


@graph
def primitive_float() -> Document:
    return _primitive("FLOAT", [3.14159, "fixed"], "cfg")


@graph
def primitive_text() -> Document:
    return _primitive("STRING", ["from a primitive"], "text")


@graph
def primitive_choice() -> Document:
    return _primitive("COMBO", ["dpmpp_2m", "fixed", ""], "sampler_name")


@graph
def primitive_of_another_type() -> Document:
    return _primitive("FLOAT", [9.5, "fixed"], "steps")


@graph
def primitive_without_value() -> Document:
    return _primitive("INT", None, "steps")


@graph
def primitive_on_several_inputs() -> Document:
    board = Board()
    at = text_to_image(board)
    latent = board.of(at["latent"])
    latent["inputs"] = [
        {"name": name, "type": "INT", "link": None, "widget": {"name": name}}
        for name in ("width", "height", "batch_size")
    ]
    primitive = board.node("PrimitiveNode", [1003, "fixed"], {}, {"INT": "INT"})
    board.of(primitive)["outputs"][0]["widget"] = {"name": "width"}
    for name in ("width", "height"):
        rewire(board, at["latent"], name, primitive)
    return board.file()


@graph
def primitive_out_of_bounds() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["latent"])["inputs"] = [
        {"name": "batch_size", "type": "INT", "link": None, "widget": {"name": "batch_size"}}
    ]
    primitive = board.node("PrimitiveNode", [99999, "fixed"], {}, {"INT": "INT"})
    board.of(primitive)["outputs"][0]["widget"] = {"name": "batch_size"}
    rewire(board, at["latent"], "batch_size", primitive)
    rewire(board, at["sampler"], "steps", primitive)
    return board.file()


@graph
def primitive_that_feeds_nothing() -> Document:
    board = Board()
    text_to_image(board)
    board.node("PrimitiveNode", [5, "fixed"], {}, {"connect to widget input": "*"})
    return board.file()


@graph
def primitive_through_a_reroute() -> Document:
    board = Board()
    at = text_to_image(board)
    primitive = board.node("PrimitiveNode", [5, "fixed"], {}, {"INT": "INT"})
    reroute = board.node("Reroute", None, {"": "*"}, {"": "INT"})
    board.wire(primitive, 0, reroute, "", kind="INT")
    rewire(board, at["sampler"], "steps", reroute)
    return board.file()


@graph
def muted_primitive() -> Document:
    board = Board()
    at = text_to_image(board)
    primitive = board.node("PrimitiveNode", [5, "fixed"], {}, {"INT": "INT"}, mode=2)
    rewire(board, at["sampler"], "steps", primitive)
    return board.file()


@graph
def reroutes_in_a_row() -> Document:
    board = Board()
    origin: int = picture(board)
    for _ in range(3):
        reroute = board.node("Reroute", None, {"": "*"}, {"": "IMAGE"})
        board.wire(origin, 0, reroute, "", kind="IMAGE")
        origin = reroute
    saved(board, origin)
    saved(board, origin, prefix="again")
    return board.file()


@graph
def reroute_of_nothing() -> Document:
    board = Board()
    reroute = board.node("Reroute", None, {"": "*"}, {"": "*"})
    saved(board, reroute)
    saved(board, picture(board))
    return board.file()


@graph
def reroute_behind_a_bypassed_node() -> Document:
    board = Board()
    image = picture(board)
    invert = board.node("ImageInvert", None, {"image": "IMAGE"}, IMAGE_OUT, mode=4)
    reroute = board.node("Reroute", None, {"": "*"}, {"": "IMAGE"})
    board.wire(image, 0, invert, "image", kind="IMAGE")
    board.wire(invert, 0, reroute, "", kind="IMAGE")
    saved(board, reroute)
    return board.file()


# Muted and bypassed


@graph
def muted_saver() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["save"])["mode"] = 2
    saved(board, at["decode"], prefix="on")
    return board.file()


@graph
def muted_in_between() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["latent"])["mode"] = 2
    return board.file()


@graph
def muted_feeds_a_widget() -> Document:
    board = Board()
    at = text_to_image(board)
    number = board.node("PrimitiveInt", [30, "fixed"], {}, {"INT": "INT"}, mode=2)
    rewire(board, at["sampler"], "steps", number)
    return board.file()


@graph
def bypassed_lora() -> Document:
    board = Board()
    at = text_to_image(board)
    lora = board.node(
        "LoraLoader",
        ["l.safetensors", 1, 1],
        {"model": "MODEL", "clip": "CLIP"},
        {"MODEL": "MODEL", "CLIP": "CLIP"},
        mode=4,
    )
    board.wire(at["loader"], 0, lora, "model", kind="MODEL")
    board.wire(at["loader"], 1, lora, "clip", kind="CLIP")
    rewire(board, at["sampler"], "model", lora, 0)
    rewire(board, at["positive"], "clip", lora, 1)
    return board.file()


@graph
def bypassed_without_an_input_of_the_type() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["decode"])["mode"] = 4
    saved(board, picture(board))
    return board.file()


@graph
def bypassed_sampler() -> Document:
    board = Board()
    at = text_to_image(board)
    board.of(at["sampler"])["mode"] = 4
    return board.file()


@graph
def bypassed_in_a_row() -> Document:
    board = Board()
    origin: int = picture(board)
    for _ in range(4):
        node = board.node("ImageInvert", None, {"image": "IMAGE"}, IMAGE_OUT, mode=4)
        board.wire(origin, 0, node, "image", kind="IMAGE")
        origin = node
    saved(board, origin)
    return board.file()


@graph
def bypassed_with_two_of_a_type() -> Document:
    board = Board()
    first, second = picture(board), picture(board)
    batch = board.node("ImageBatch", None, {"image1": "IMAGE", "image2": "IMAGE"}, IMAGE_OUT, mode=4)
    board.wire(second, 0, batch, "image2", kind="IMAGE")
    board.wire(first, 0, batch, "image1", kind="IMAGE")
    saved(board, batch)
    return board.file()


@graph
def bypassed_of_any_type() -> Document:
    board = Board()
    first, second = picture(board), board.node("SolidMask", [1, 8, 8], {}, {"MASK": "MASK"})
    freely = board.node(
        "TestFreely", None, {"value": "*", "either": "IMAGE,MASK"}, {"*": "*", "MASK": "MASK"}, mode=4
    )
    board.wire(first, 0, freely, "value", kind="IMAGE")
    board.wire(second, 0, freely, "either", kind="MASK")
    saved(board, freely, 0)
    mask = board.node("MaskToImage", None, {"mask": "MASK"}, IMAGE_OUT)
    board.wire(freely, 1, mask, "mask", kind="MASK")
    any_node = board.node("PreviewAny", None, {"source": "*"})
    board.wire(freely, 1, any_node, "source")
    return board.file()


@graph
def unknown_but_muted() -> Document:
    board = Board()
    unknown = board.node("NobodyHasThis", [1, 2], {"image": "IMAGE"}, IMAGE_OUT, mode=2)
    saved(board, unknown)
    saved(board, picture(board))
    return board.file()


@graph
def unknown_but_bypassed() -> Document:
    board = Board()
    unknown = board.node("NobodyHasThis", [1, 2], {"mask": "MASK", "image": "IMAGE"}, IMAGE_OUT, mode=4)
    board.wire(picture(board), 0, unknown, "image", kind="IMAGE")
    saved(board, unknown)
    return board.file()


# Choices that bring inputs, groups that grow


@graph
def dynamic_choices() -> Document:
    board = Board()
    saved(board, picture(board))
    board.node("TestDynamic", ["text", 8, "noted", 5])
    board.node("TestDynamic", ["none", 6])
    board.node("TestDynamic", ["nested", "y", 4, 7])
    board.node("TestDynamic", ["seeded", 5, "fixed", 8])
    board.node("TestDynamic", ["gone", 1, 2])
    board.node("TestDynamic")
    return board.file()


@graph
def dynamic_choice_with_links() -> Document:
    board = Board()
    image = picture(board)
    mask = board.node("SolidMask", [1, 8, 8], {}, {"MASK": "MASK"})
    inputs: dict[str, Any] = {
        "mode": ("COMFY_DYNAMICCOMBO_V3", "mode"),
        "mode.image": "IMAGE",
        "mode.mask": "MASK",
        "mode.strength": ("FLOAT", "mode.strength"),
        "after": ("INT", "after"),
    }
    node = board.node("TestDynamic", ["image", 0.75, 9], inputs, IMAGE_OUT)
    board.wire(image, 0, node, "mode.image", kind="IMAGE")
    board.wire(mask, 0, node, "mode.mask", kind="MASK")
    saved(board, node)
    return board.file()


@graph
def group_that_grew() -> Document:
    board = Board()
    images = [picture(board) for _ in range(3)]
    names: dict[str, Any] = {f"images.image{number}": "IMAGE" for number in range(4)}
    node = board.node(
        "TestGrows", [0.25], {**names, "named.a": "INT", "named.b": "INT", "tail": ("FLOAT", "tail")}, IMAGE_OUT
    )
    for number, image in enumerate(images):
        board.wire(image, 0, node, f"images.image{number}", kind="IMAGE")
    number = board.node("PrimitiveInt", [3, "fixed"], {}, {"INT": "INT"})
    board.wire(number, 0, node, "named.a", kind="INT")
    saved(board, node)
    return board.file()


@graph
def group_that_grew_inside_of_a_choice() -> Document:
    board = Board()
    images = [picture(board) for _ in range(2)]
    names: dict[str, Any] = {f"mode.pictures.p{number}": "IMAGE" for number in range(3)}
    node = board.node(
        "TestDynamic",
        ["grows", 5],
        {"mode": ("COMFY_DYNAMICCOMBO_V3", "mode"), **names, "after": ("INT", "after")},
        IMAGE_OUT,
    )
    for number, image in enumerate(images):
        board.wire(image, 0, node, f"mode.pictures.p{number}", kind="IMAGE")
    saved(board, node)
    return board.file()


@graph
def rows_of_a_group() -> Document:
    board = Board()
    saved(board, picture(board))
    board.node("TestRows", [2, "one", 0.1, "two", 0.2, 50])
    board.node("TestRows")
    return board.file()


@graph
def switch_of_any_type() -> Document:
    board = Board()
    first, second = picture(board), picture(board)
    inputs: dict[str, Any] = {"on_false": "*", "on_true": "*", "switch": ("BOOLEAN", "switch")}
    for mode in (0, 4):
        switch = board.node("TestSwitch", [True], dict(inputs), {"COMFY_MATCHTYPE_V3": "*"}, mode=mode)
        board.wire(first, 0, switch, "on_false", kind="IMAGE")
        board.wire(second, 0, switch, "on_true", kind="IMAGE")
        saved(board, switch)
    return board.file()


@graph
def combo_of_ones_own() -> Document:
    board = Board()
    saved(board, picture(board))
    board.node(
        "CustomCombo",
        ["two", 1, "one", "two", "three", ""],
        {"choice": ("COMBO", "choice")},
        {"STRING": "STRING", "INT": "INT"},
    )
    board.node("CustomCombo", ["none", 0, "one", ""], {}, {"STRING": "STRING", "INT": "INT"})
    board.node("CustomCombo", None, {}, {"STRING": "STRING", "INT": "INT"})
    return board.file()


# Every class that the recorded server has


UNUSABLE = frozenset({"WebcamCapture", "RecordAudio", "Load3D", "Load3DAnimation"})
PER_GRAPH = 40


def every_class() -> dict[str, Document]:
    """All recorded classes with values that are nobody's defaults, some forty to a graph."""
    classes = {name: entry for name, entry in recorded().items() if name not in UNUSABLE}
    names = sorted(classes)
    made: dict[str, Document] = {}
    for start in range(0, len(names), PER_GRAPH):
        board = Board()
        saved(board, picture(board))
        for name in names[start : start + PER_GRAPH]:
            board.node(name, _values(classes[name]))
        made[f"every_class_{start // PER_GRAPH:02}"] = json.loads(json.dumps(board.file()))
    return made


def _values(entry: dict[str, Any]) -> list[Any]:
    """One value for each input that could be a widget, as files have them."""
    order = entry.get("input_order", {})
    groups = [
        (name, entry["input"].get(group, {})[name])
        for group in ("required", "optional")
        for name in order.get(group, [])
    ]
    values: list[Any] = []
    for name, spec in groups:
        options = spec[1] if len(spec) > 1 else {}
        if options.get("forceInput") or not (
            isinstance(spec[0], list) or spec[0] in {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
        ):
            continue
        values.append(_value(spec[0], options, name))
        if spec[0] == "INT" and options.get("control_after_generate", name in {"seed", "noise_seed"}):
            values.append("fixed")
    return values


def _value(kind: Any, options: dict[str, Any], name: str) -> Any:
    choices = options.get("options", []) if kind == "COMBO" else kind
    match kind:
        case "INT":
            return int(max(options.get("min", 0), -(2**52))) + 1
        case "FLOAT":
            return round(max(float(options.get("min", 0.0)), -(2.0**40)) + 0.125, 3)
        case "STRING":
            return f"the {name}"
        case "BOOLEAN":
            return not options.get("default", False)
        case _:
            return choices[-1] if choices else f"{name}.safetensors"
