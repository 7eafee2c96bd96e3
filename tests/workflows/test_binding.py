"""Values stand where the manifest says, nothing else moves, and new nodes clash with nothing."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.graph import Graph, assets_in, links, parse
from atelier.workflows import binding, values
from atelier.workflows import manifest as manifests
from atelier.workflows.manifest import InvalidManifest
from atelier.workflows.model import Manifest
from atelier.workflows.values import Values
from support import workshop
from support.workshop import GRAPH, node

ASSETS = [f"0199b2c0-1111-7222-8333-{n:012x}" for n in range(5)]


def _bound(made: Manifest, graph: Graph = GRAPH, **said: Any) -> Graph:
    whole = binding.bound(made, graph, values.read(made, said))
    parse(whole)
    return whole


def _of(**parameters: dict[str, Any]) -> Manifest:
    return manifests.parse(workshop.with_parameters(**parameters), folder_id="boats")


def test_values_stand_in_their_nodes_and_nothing_else_moves() -> None:
    before = copy.deepcopy(GRAPH)

    whole = _bound(workshop.manifest(), prompt="a ship", steps=7, seed=3)

    changed = copy.deepcopy(GRAPH)
    changed["2"]["inputs"]["text"] = "a ship"
    changed["5"]["inputs"] |= {"steps": 7, "seed": 3}
    assert whole == changed
    assert before == GRAPH


def test_an_id_goes_before_a_title() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["2"]["_meta"]["title"] = "5"

    whole = _bound(_of(it={"type": "int", "bind": {"node": "5", "input": "steps"}}), graph, it=9)

    assert whole["5"]["inputs"]["steps"] == 9
    assert "steps" not in whole["2"]["inputs"]


def test_a_title_of_two_nodes_means_neither() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["3"]["_meta"]["title"] = "Positive"

    with pytest.raises(InvalidManifest, match="nodes 2, 3 are all called 'Positive': name one by its id"):
        _bound(workshop.manifest(), graph, prompt="x")


def test_a_node_that_is_not_there_is_told_with_the_nearest() -> None:
    made = _of(it={"type": "int", "bind": {"node": "Samplr", "input": "steps"}})

    with pytest.raises(InvalidManifest, match=r"parameters.it.bind\[0\].node: no node .* did you mean Sampler"):
        _bound(made, it=3)


def test_a_parameter_without_a_value_leaves_the_graphs_own() -> None:
    made = _of(it={"type": "int", "bind": {"node": "Sampler", "input": "steps"}})

    assert _bound(made) == GRAPH


SIZE = {
    "type": "aspect_ratio",
    "min": 64,
    "max": 2048,
    "choices": [{"value": "16:9", "width": 1344, "height": 768}],
    "bind": [
        {"node": "Latent", "input": "width", "part": "width"},
        {"node": "Latent", "input": "height", "part": "height"},
    ],
}


@pytest.mark.parametrize(("said", "sides"), [("16:9", (1344, 768)), ("640x512", (640, 512))])
def test_an_aspect_ratio_sets_both_sides(said: str, sides: tuple[int, int]) -> None:
    inputs = _bound(_of(it=SIZE), it=said)["4"]["inputs"]

    assert (inputs["width"], inputs["height"]) == sides


def test_an_aspect_ratio_may_be_a_text_too() -> None:
    whole = _bound(_of(it=SIZE | {"bind": {"node": "Positive", "input": "text"}}), it="16:9")

    assert whole["2"]["inputs"]["text"] == "16:9"


# Files ---------------------------------------------------------------------------------------------------------

PHOTO: Graph = {
    **GRAPH,
    "8": node("LoadImage", "Photo", image="example.png"),
    "9": node(
        "ImageScale", "Scale", image=["8", 0], width=512, height=512, upscale_method="area", crop="disabled"
    ),
    "10": node("VAEEncode", "Encode", pixels=["9", 0], vae=["1", 2]),
    "11": node("PreviewImage", "Look", images=["9", 0]),
}
PHOTO_BIND = {"type": "image", "bind": {"node": "Photo", "input": "image"}}


def test_a_file_stands_in_its_loader() -> None:
    whole = _bound(_of(it=PHOTO_BIND), PHOTO, it=ASSETS[0])

    assert whole["8"]["inputs"]["image"] == {"__type": "core/ASSET", "info": {"id": ASSETS[0]}}
    assert [str(one) for one in assets_in(whole)]


def test_a_file_that_is_not_given_takes_its_loader_out_and_what_it_alone_fed() -> None:
    whole = _bound(_of(it=PHOTO_BIND), PHOTO)

    assert whole.keys() == PHOTO.keys() - {"8", "9", "11"}
    assert "pixels" not in whole["10"]["inputs"]


BATCH: Graph = {
    **GRAPH,
    "20": node("LoadImage", "Any", image="example.png"),
    "007": node("ImageUpscaleWithModel", "Up", image=["20", 0], upscale_model=["21", 0]),
    "21": node("UpscaleModelLoader", "Model", model_name="x.pth"),
    "Nine": node("SaveImage", "Save many", images=["007", 0], filename_prefix="x"),
}
IMAGES = {"type": "images", "max": 5, "required": True, "batch": {"node": "Up", "input": "image"}}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_several_pictures_become_one_batch_in_their_order(count: int) -> None:
    whole = _bound(_of(it=IMAGES), BATCH, it=ASSETS[:count])

    loaded = [
        whole[one]["inputs"]["image"]["info"]["id"] for one in _unrolled(whole, whole["007"]["inputs"]["image"])
    ]
    assert loaded == ASSETS[:count]
    assert "20" not in whole
    assert sum(one["class_type"] == "ImageBatch" for one in whole.values()) == count - 1


def _unrolled(whole: Graph, link: list[Any]) -> list[str]:
    source = whole[link[0]]
    if source["class_type"] == "LoadImage":
        return [link[0]]
    return [*_unrolled(whole, source["inputs"]["image1"]), *_unrolled(whole, source["inputs"]["image2"])]


def test_pictures_may_go_into_numbered_inputs() -> None:
    graph = {
        **GRAPH,
        "8": node("LoadImage", "A", image="example.png"),
        "9": node("TextEncodeQwenImageEditPlus", "Edit", image1=["8", 0], image2=["8", 0], image3=["8", 0]),
    }
    made = _of(it={"type": "images", "max": 3, "bind": {"node": "Edit", "input": "image{n}"}})

    whole = _bound(made, graph, it=ASSETS[:2])

    inputs = whole["9"]["inputs"]
    assert [whole[inputs[name][0]]["inputs"]["image"]["info"]["id"] for name in ("image1", "image2")] == ASSETS[:2]
    assert "image3" not in inputs
    assert "8" not in whole


# LoRAs ---------------------------------------------------------------------------------------------------------


def test_loras_stand_between_a_node_and_all_that_takes_of_it() -> None:
    made = _of(it={"type": "loras", "chain": {"node": "Checkpoint"}})

    whole = _bound(made, it=["a", {"name": "b", "strength": 1}])

    first, second = [one for one in whole if whole[one]["class_type"] == "LoraLoader"]
    assert whole[first]["inputs"]["model"] == ["1", 0]
    assert whole[first]["inputs"]["clip"] == ["1", 1]
    assert whole[second]["inputs"] == {
        "model": [first, 0],
        "clip": [first, 1],
        "lora_name": "b",
        "strength_model": 1.0,
        "strength_clip": 1.0,
    }
    assert whole["5"]["inputs"]["model"] == [second, 0]
    assert [whole[one]["inputs"]["clip"] for one in "23"] == [[second, 1]] * 2
    assert whole["6"]["inputs"]["vae"] == ["1", 2]


def test_loras_may_change_the_model_alone() -> None:
    made = _of(it={"type": "loras", "chain": {"node": "Checkpoint", "clip": None}})

    whole = _bound(made, it=["a"])

    [lora] = [one for one in whole if whole[one]["class_type"] == "LoraLoaderModelOnly"]
    assert whole["5"]["inputs"]["model"] == [lora, 0]
    assert whole["2"]["inputs"]["clip"] == ["1", 1]


def test_without_loras_the_graph_is_as_it_was() -> None:
    assert _bound(_of(it={"type": "loras", "chain": {"node": "Checkpoint"}}), it=[]) == GRAPH


def test_a_stack_of_loras_is_filled_and_the_rest_of_it_emptied() -> None:
    stack = node("Lora Loader Stack (rgthree)", "Stack", model=["1", 0], clip=["1", 1])
    stack["inputs"] |= {f"lora_0{n}": "old" for n in (1, 2, 3)} | {f"strength_0{n}": 1 for n in (1, 2, 3)}
    bind = [
        {"node": "Stack", "input": "lora_{n:02}", "part": "name"},
        {"node": "Stack", "input": "strength_{n:02}", "part": "strength"},
    ]

    whole = _bound(_of(it={"type": "loras", "max": 3, "bind": bind}), {**GRAPH, "8": stack}, it=["a", "b"])

    inputs = whole["8"]["inputs"]
    assert [inputs[f"lora_0{n}"] for n in (1, 2, 3)] == ["a", "b", "None"]
    assert [inputs[f"strength_0{n}"] for n in (1, 2)] == [0.5, 0.5]


def test_a_power_loader_gets_whole_entries() -> None:
    power = node("Power Lora Loader (rgthree)", "Power", lora_1={"on": True, "lora": "old", "strength": 1})
    power["inputs"]["lora_2"] = {"on": True, "lora": "old", "strength": 1}
    made = _of(it={"type": "loras", "max": 2, "bind": {"node": "Power", "input": "lora_{n}"}})

    whole = _bound(made, {**GRAPH, "8": power}, it=["a"])

    assert whole["8"]["inputs"] == {"lora_1": {"on": True, "lora": "a", "strength": 0.5}}


# Any graph -----------------------------------------------------------------------------------------------------

IDS = st.lists(
    st.sampled_from(["1", "2", "9", "10", "999999999", "1000000000", "01", "-3", "a", "12:3", "\u0663"]),
    min_size=1,
    unique=True,
)


@given(IDS, st.integers(0, 5), st.integers(0, 4))
def test_new_nodes_take_the_id_of_none(ids: list[str], pictures: int, loras: int) -> None:
    graph: Graph = {one: node("Note", f"title {one}", text="") for one in ids}
    graph["source"] = node("CheckpointLoaderSimple", "Source", ckpt_name="x")
    graph["end"] = node("End", "End", model=["source", 0], clip=["source", 1], image=["source", 2])
    parameters = {
        "a": {"type": "images", "max": 5, "batch": {"node": "End", "input": "image"}},
        "b": {"type": "loras", "max": 4, "chain": {"node": "Source"}},
    }
    made = workshop.manifest(parameters=parameters, examples=None, outputs=None)
    given_values = Values({"a": ASSETS[:pictures], "b": [{"name": "x", "strength": 1.0}] * loras})

    whole = binding.bound(made, graph, given_values)

    assert {one: whole[one] for one in ids} == {one: graph[one] for one in ids}
    assert len(whole) == len(graph) + pictures + max(pictures - 1, 0) + loras
    parse(whole)
    assert all(link.source in whole for link in links(whole))


def test_a_name_with_braces_formats_nothing() -> None:
    made = _of(it={"type": "images", "max": 1, "bind": {"node": "Sampler", "input": "{n.__class__}{n}"}})

    assert "{n.__class__}1" in _bound(made, it=ASSETS[:1])["5"]["inputs"]


def test_places_and_results_are_ids() -> None:
    made = workshop.manifest(outputs=[{"node": "Save"}, {"node": "6"}])

    assert binding.places(made, GRAPH) == {"prompt": ("2",), "steps": ("5",), "seed": ("5",)}
    assert binding.result_nodes(made, GRAPH) == ("7", "6")
