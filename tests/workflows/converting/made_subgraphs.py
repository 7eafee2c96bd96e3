"""Graphs drawn by hand that have subgraphs: nested, shown outside in every way that versions had, off, twice."""

from typing import Any

from workflows.converting.drawing_board import Board, Document
from workflows.converting.made_graphs import (
    IMAGE_OUT,
    SAMPLER_IN,
    SAMPLER_VALUES,
    SAMPLER_WIDGETS,
    SUB,
    graph,
    picture,
    saved,
)

BLUR = {"image": "IMAGE", "blur_radius": ("INT", "blur_radius"), "sigma": ("FLOAT", "sigma")}
SAMPLER = {**SAMPLER_IN, **SAMPLER_WIDGETS}
LATENT = {"LATENT": "LATENT"}


def blurring(subgraph: str = f"{SUB}1", *, shown: bool = True, first_id: int = 10) -> Document:
    """An image goes in, blurred it comes out; the radius is shown outside."""
    inner = Board(first_id=first_id)
    inner.takes("image", "IMAGE")
    inner.gives("blurred", "IMAGE")
    blur = inner.node("ImageBlur", [3, 0.5], dict(BLUR), IMAGE_OUT)
    inner.wire(-10, 0, blur, "image", kind="IMAGE")
    if shown:
        inner.takes("blur_radius", "INT")
        inner.wire(-10, 1, blur, "blur_radius", kind="INT")
    inner.wire(blur, 0, -20, "blurred", kind="IMAGE")
    return inner.subgraph(subgraph, "Blurring")


HOST: dict[str, Any] = {"image": "IMAGE", "blur_radius": ("INT", "blur_radius")}


def host(
    board: Board, values: Any = None, kind: str = f"{SUB}1", inputs: dict[str, Any] | None = None, **more: Any
) -> int:
    """An instance that a picture goes into and whose own is saved."""
    node = board.node(kind, values, dict(HOST if inputs is None else inputs), {"blurred": "IMAGE"}, **more)
    board.wire(picture(board), 0, node, "image", kind="IMAGE")
    saved(board, node)
    return int(node)


@graph
def subgraph() -> Document:
    board = Board()
    host(board, [7])
    return board.file(blurring())


@graph
def subgraph_in_form_1() -> Document:
    board = Board()
    host(board, [7])
    return board.file_of_1(blurring())


@graph
def subgraph_without_own_values() -> Document:
    board = Board()
    host(board)
    return board.file(blurring())


@graph
def subgraph_twice_with_other_values() -> Document:
    board = Board()
    host(board, [7])
    host(board, [9])
    host(board)
    return board.file(blurring())


@graph
def subgraph_whose_shown_widget_is_fed() -> Document:
    board = Board()
    node = host(board, [7])
    number = board.node("PrimitiveInt", [5, "fixed"], {}, {"INT": "INT"})
    board.wire(number, 0, node, "blur_radius", kind="INT")
    return board.file(blurring())


@graph
def subgraph_whose_shown_widget_a_primitive_feeds() -> Document:
    board = Board()
    node = host(board, [7])
    primitive = board.node("PrimitiveNode", [5, "fixed"], {}, {"INT": "INT"})
    board.wire(primitive, 0, node, "blur_radius", kind="INT")
    return board.file(blurring())


@graph
def subgraph_muted() -> Document:
    board = Board()
    host(board, [7], mode=2)
    saved(board, picture(board))
    return board.file(blurring())


@graph
def subgraph_bypassed() -> Document:
    board = Board()
    host(board, [7], mode=4)
    return board.file(blurring())


@graph
def subgraph_that_nothing_feeds() -> Document:
    board = Board()
    node = board.node(f"{SUB}1", [7], dict(HOST), {"blurred": "IMAGE"})
    saved(board, node)
    return board.file(blurring())


@graph
def subgraph_with_an_output_of_nothing() -> Document:
    board = Board()
    node = host(board, [7])
    inner = blurring()
    inner["outputs"].append({"id": "o2", "name": "nothing", "type": "IMAGE", "linkIds": []})
    board.of(node)["outputs"].append({"name": "nothing", "type": "IMAGE", "links": []})
    saved(board, node, 1)
    return board.file(inner)


@graph
def subgraph_of_an_older_id() -> Document:
    board = Board()
    host(board, [7], "my subgraph")
    return board.file(blurring("my subgraph"))


@graph
def ids_that_two_subgraphs_have() -> Document:
    board = Board()
    host(board, [7])
    host(board, [8], f"{SUB}2")
    return board.file(blurring(), blurring(f"{SUB}2"))


@graph
def ids_that_the_outer_graph_has_too() -> Document:
    board = Board()
    host(board, [7])
    return board.file(blurring(first_id=1))


@graph
def muted_and_bypassed_inside() -> Document:
    board = Board()
    node = host(board, [7])
    inner = blurring()
    inner["nodes"][0]["mode"] = 4
    inner["nodes"].append({**inner["nodes"][0], "id": 50, "mode": 2, "inputs": [], "outputs": []})
    assert node
    return board.file(inner)


def around(inner: str, subgraph: str, *, shown: bool = True, mode: int = 0) -> Document:
    """A subgraph around an instance of another one."""
    board = Board(first_id=20)
    board.takes("image", "IMAGE")
    board.gives("blurred", "IMAGE")
    node = board.node(inner, [11], dict(HOST), {"blurred": "IMAGE"}, mode=mode)
    board.wire(-10, 0, node, "image", kind="IMAGE")
    if shown:
        board.takes("blur_radius", "INT")
        board.wire(-10, 1, node, "blur_radius", kind="INT")
    board.wire(node, 0, -20, "blurred", kind="IMAGE")
    return board.subgraph(subgraph, "Around")


@graph
def nested_subgraphs() -> Document:
    board = Board()
    host(board, [7], f"{SUB}2")
    return board.file(blurring(), around(f"{SUB}1", f"{SUB}2"))


@graph
def nested_subgraphs_outer_first() -> Document:
    board = Board()
    host(board, [7], f"{SUB}2")
    return board.file(around(f"{SUB}1", f"{SUB}2"), blurring())


@graph
def nested_three_deep() -> Document:
    board = Board()
    host(board, [7], f"{SUB}3")
    deeper = around(f"{SUB}2", f"{SUB}3")
    deeper["nodes"][0]["id"] = 30
    for link in deeper["links"]:
        link.update({key: 30 for key in ("origin_id", "target_id") if link[key] == 20})
    return board.file(blurring(), around(f"{SUB}1", f"{SUB}2"), deeper)


@graph
def nested_with_a_value_in_between() -> Document:
    board = Board()
    host(board, None, f"{SUB}2", {"image": "IMAGE"})
    return board.file(blurring(), around(f"{SUB}1", f"{SUB}2", shown=False))


@graph
def nested_and_muted() -> Document:
    board = Board()
    host(board, [7], f"{SUB}2")
    return board.file(blurring(), around(f"{SUB}1", f"{SUB}2", mode=2))


@graph
def nested_and_bypassed() -> Document:
    board = Board()
    host(board, [7], f"{SUB}2")
    return board.file(blurring(), around(f"{SUB}1", f"{SUB}2", mode=4))


@graph
def nested_definitions_in_one_another() -> Document:
    board = Board()
    host(board, [7], f"{SUB}2")
    return board.file(around(f"{SUB}1", f"{SUB}2") | {"definitions": {"subgraphs": [blurring()]}})


# Widgets shown by properties.proxyWidgets, as older versions did


@graph
def shown_by_name() -> Document:
    board = Board()
    host(
        board,
        [9, 0.7],
        inputs={"image": "IMAGE"},
        properties={"proxyWidgets": [["10", "blur_radius"], ["10", "sigma"]]},
    )
    return board.file(blurring(shown=False))


@graph
def shown_by_name_twice_with_other_values() -> Document:
    board = Board()
    shown = {"proxyWidgets": [["10", "sigma"], ["10", "blur_radius"]]}
    host(board, [0.2, 9], inputs={"image": "IMAGE"}, properties=dict(shown))
    host(board, [0.4], inputs={"image": "IMAGE"}, properties=dict(shown))
    host(board, None, inputs={"image": "IMAGE"})
    return board.file(blurring(shown=False))


@graph
def shown_by_name_and_by_input() -> Document:
    board = Board()
    host(board, [0.9, 4], properties={"proxyWidgets": [["10", "sigma"], ["10", "blur_radius"]]})
    return board.file(blurring())


@graph
def shown_by_a_name_with_ids_before_it() -> Document:
    board = Board()
    host(board, [9], inputs={"image": "IMAGE"}, properties={"proxyWidgets": [["10", "10: blur_radius"]]})
    return board.file(blurring(shown=False))


@graph
def shown_by_names_of_nothing() -> Document:
    board = Board()
    names = [["99", "blur_radius"], ["10", "gone"], ["-1", "blur_radius"], ["10", "$$canvas-image-preview"]]
    host(board, [9, 8, 7, 6], properties={"proxyWidgets": names})
    return board.file(blurring())


@graph
def shown_from_two_deep() -> Document:
    board = Board()
    host(board, [13], f"{SUB}2", {"image": "IMAGE"}, properties={"proxyWidgets": [["20", "blur_radius"]]})
    return board.file(blurring(), around(f"{SUB}1", f"{SUB}2", shown=False))


@graph
def shown_from_two_deep_by_name_alone() -> Document:
    board = Board()
    outer = around(f"{SUB}1", f"{SUB}2", shown=False)
    outer["nodes"][0]["inputs"] = outer["nodes"][0]["inputs"][:1]
    outer["nodes"][0]["properties"] = {"proxyWidgets": [["10", "blur_radius"]]}
    shown = {"proxyWidgets": [["20", "10: blur_radius"]]}
    host(board, [13], f"{SUB}2", {"image": "IMAGE"}, properties=shown)
    return board.file(blurring(shown=False), outer)


def with_primitive() -> Document:
    inner = Board(first_id=10)
    inner.takes("latent", "LATENT")
    inner.gives("latent", "LATENT")
    sampler = inner.node("KSampler", list(SAMPLER_VALUES), dict(SAMPLER), LATENT)
    primitive = inner.node("PrimitiveNode", [33, "fixed"], {}, {"INT": "INT"})
    inner.wire(-10, 0, sampler, "latent_image", kind="LATENT")
    inner.wire(primitive, 0, sampler, "steps", kind="INT")
    inner.wire(sampler, 0, -20, "latent", kind="LATENT")
    return inner.subgraph(f"{SUB}1", "Sampling")


def sampled(values: Any = None, **more: Any) -> Board:
    board = Board()
    latent = board.node("EmptyLatentImage", [64, 64, 1], {}, LATENT)
    node = board.node(f"{SUB}1", values, {"latent": "LATENT"}, {"latent": "LATENT"}, **more)
    board.wire(latent, 0, node, "latent", kind="LATENT")
    save = board.node("SaveLatent", ["latents/x"], {"samples": "LATENT"})
    board.wire(node, 0, save, "samples", kind="LATENT")
    return board


@graph
def primitive_inside() -> Document:
    return sampled().file(with_primitive())


@graph
def primitive_inside_shown_by_name() -> Document:
    shown = {"proxyWidgets": [["11", "value"], ["10", "cfg"]]}
    return sampled([44, 2.5], properties=shown).file(with_primitive())


@graph
def reroute_inside() -> Document:
    board = Board()
    host(board, [7])
    inner = Board(first_id=10)
    inner.takes("image", "IMAGE")
    inner.gives("blurred", "IMAGE")
    before = inner.node("Reroute", None, {"": "*"}, {"": "IMAGE"})
    blur = inner.node("ImageBlur", [3, 0.5], dict(BLUR), IMAGE_OUT)
    after = inner.node("Reroute", None, {"": "*"}, {"": "IMAGE"})
    inner.wire(-10, 0, before, "", kind="IMAGE")
    inner.wire(before, 0, blur, "image", kind="IMAGE")
    inner.wire(blur, 0, after, "", kind="IMAGE")
    inner.wire(after, 0, -20, "blurred", kind="IMAGE")
    return board.file(inner.subgraph(f"{SUB}1"))


@graph
def one_input_shows_two_widgets() -> Document:
    board = Board()
    node = board.node(f"{SUB}1", [21], {"latent": "LATENT", "steps": ("INT", "steps")}, {"latent": "LATENT"})
    latent = board.node("EmptyLatentImage", [64, 64, 1], {}, LATENT)
    board.wire(latent, 0, node, "latent", kind="LATENT")
    save = board.node("SaveLatent", ["latents/x"], {"samples": "LATENT"})
    board.wire(node, 0, save, "samples", kind="LATENT")
    inner = Board(first_id=10)
    inner.takes("latent", "LATENT")
    inner.takes("steps", "INT")
    inner.gives("latent", "LATENT")
    first = inner.node("KSampler", list(SAMPLER_VALUES), dict(SAMPLER), LATENT)
    second = inner.node("KSampler", list(SAMPLER_VALUES), dict(SAMPLER), LATENT)
    inner.wire(-10, 0, first, "latent_image", kind="LATENT")
    inner.wire(first, 0, second, "latent_image", kind="LATENT")
    inner.wire(-10, 1, first, "steps", kind="INT")
    inner.wire(-10, 1, second, "steps", kind="INT")
    inner.wire(second, 0, -20, "latent", kind="LATENT")
    return board.file(inner.subgraph(f"{SUB}1"))
