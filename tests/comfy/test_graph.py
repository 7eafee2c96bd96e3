import copy
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.graph import InvalidWorkflow, Limits, Link, WorkflowFormatUi, links, output_nodes, parse
from atelier.kit.errors import Kind, Refusal
from support.comfy_graphs import chain, picture, with_node


def refused(document: Any, limits: Limits | None = None) -> dict[str, Any]:
    """The error object that the refusal of `document` shows."""
    with pytest.raises(InvalidWorkflow) as caught:
        parse(document, *([limits] if limits else []))
    assert caught.value.kind is Kind.UNPROCESSABLE
    assert caught.value.details is not None
    return dict(caught.value.details)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
LINKS = st.lists(st.sampled_from(["1", "2", "9", "x", 0, 1, -1, 0.5, True]), max_size=3)
VALUES = st.recursive(
    LEAVES | LINKS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["__value__", "__type", "info", "id", "k"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NODES = st.fixed_dictionaries(
    {},
    optional={
        "class_type": st.sampled_from(["EmptyImage", "LoadImage", "SaveImage", "", 5]) | LEAVES,
        "inputs": st.dictionaries(st.sampled_from(["image", "images", "filename_prefix", "width"]), VALUES)
        | VALUES,
        "is_changed": VALUES,
    },
)
DOCUMENTS = st.dictionaries(st.sampled_from(["1", "2", "9", "", "nodes", "links"]), NODES | VALUES) | VALUES


def test_a_sound_graph_comes_through_as_it_is() -> None:
    assert parse(picture()) == picture()


def test_titles_and_unknown_members_of_nodes_stay() -> None:
    graph = picture()
    graph["1"]["_meta"] = {"title": "Empty"}

    assert parse(graph) == graph


def test_a_node_cannot_bring_its_own_mark_of_being_unchanged() -> None:
    graph = picture()
    graph["1"]["is_changed"] = ["as before"]

    assert parse(graph) == picture()


def test_parsing_leaves_the_document_alone() -> None:
    graph = picture()
    graph["1"]["is_changed"] = True
    before = copy.deepcopy(graph)

    parse(graph)

    assert graph == before


@pytest.mark.parametrize("document", [None, [], "graph", 5, True])
def test_what_is_no_object_is_no_prompt(document: Any) -> None:
    assert refused(document)["error"]["type"] == "no_prompt"


def test_an_empty_graph_has_no_outputs() -> None:
    assert refused({})["error"]["type"] == "prompt_no_outputs"


@pytest.mark.parametrize("document", [{"nodes": [], "links": []}, {"nodes": [{"id": 1}], "version": 0.4}])
def test_the_editors_own_format_is_refused_by_name(document: Any) -> None:
    with pytest.raises(WorkflowFormatUi, match=re.escape("Export (API)")) as caught:
        parse(document)

    assert caught.value.code == "workflow_format_ui"
    assert caught.value.kind is Kind.UNPROCESSABLE


def test_nodes_named_like_the_editors_lists_are_nodes() -> None:
    graph = picture()
    graph["nodes"] = {"class_type": "EmptyImage", "inputs": {}}

    assert parse(graph) == graph


@pytest.mark.parametrize("node", [None, [], "x", 5])
def test_a_node_that_is_no_object_is_named(node: Any) -> None:
    error = refused({**picture(), "9": node})["error"]

    assert (error["type"], error["details"]) == ("invalid_prompt", "Node ID '#9'")


@pytest.mark.parametrize("class_type", [None, [], {}, 5, ""])
def test_a_node_without_a_class_is_a_missing_node_type(class_type: Any) -> None:
    error = refused({**picture(), "9": {"class_type": class_type, "inputs": {}}})["error"]

    assert (error["type"], error["details"]) == ("missing_node_type", "Node ID '#9'")
    assert error["extra_info"]["node_id"] == "9"


@pytest.mark.parametrize("inputs", [None, [], "image", 5, ["image"]])
def test_an_unused_node_without_inputs_is_refused(inputs: Any) -> None:
    """It kills the thread that runs prompts."""
    error = refused({**picture(), "9": {"class_type": "EmptyImage", "inputs": inputs}})["error"]

    assert (error["type"], error["details"]) == ("invalid_prompt", "Node ID '#9'")
    assert refused({**picture(), "9": {"class_type": "EmptyImage"}})["error"] == error


@pytest.mark.parametrize("key", [5, None, "", 1.5])
def test_node_ids_are_texts(key: Any) -> None:
    graph: dict[Any, Any] = {**picture(), key: {"class_type": "EmptyImage", "inputs": {}}}

    assert refused(graph)["error"]["type"] == "invalid_prompt"


@pytest.mark.parametrize(
    "link", [["77", 0], ["77", 0.5], {"__value__": ["77", 0]}, {"__value__": ["77", 0], "x": 1}]
)
def test_a_link_to_a_node_that_is_not_there_is_refused_wherever_it_hides(link: Any) -> None:
    """In a declared input of a used node, in an undeclared one, and in a node that nothing uses."""
    for graph in (picture(images=link), picture(foo=link), with_node("9", "ImageInvert", image=link)):
        shown = refused(graph)

        assert shown["error"]["type"] == "prompt_outputs_failed_validation"
        (node,) = shown["node_errors"].values()
        assert node["errors"][0]["type"] == "bad_linked_input"
        assert "'77' is not in the workflow" in node["errors"][0]["details"]


@pytest.mark.parametrize("output", [-1, 0.5, 1e300, True])
def test_a_link_to_what_is_no_output_is_refused(output: Any) -> None:
    shown = refused(picture(images=["1", output]))

    assert "is not the number of an output" in shown["node_errors"]["2"]["errors"][0]["details"]


@pytest.mark.parametrize(
    "value", [["1"], ["1", 0, 0], [1, 0], ["1", "0"], {"__value__": {"__value__": ["77", 0]}}]
)
def test_what_a_server_does_not_take_for_a_link_is_left_to_its_validation(value: Any) -> None:
    assert parse(picture(foo=value))["2"]["inputs"]["foo"] == value


def test_links_are_listed_with_the_wrapped_ones() -> None:
    graph = parse(picture(again={"__value__": ["1", 3]}, text="1"))

    assert list(links(graph)) == [Link("2", "images", "1", 0), Link("2", "again", "1", 3)]


def test_cycles_are_refused_also_where_nothing_uses_them() -> None:
    graph = with_node("9", "ImageInvert", image=["9", 0])

    error = refused(graph)["error"]

    assert (error["type"], error["extra_info"]["cycle_nodes"]) == ("dependency_cycle", ["9"])


def test_a_chain_that_a_servers_stack_cannot_hold_is_refused() -> None:
    parse(chain(500))

    assert "501 nodes feed one another" in refused(chain(501))["error"]["details"]
    assert "2000 nodes feed one another" in refused(chain(2_000))["error"]["details"]


def test_a_graph_whose_keys_would_stop_a_server_for_minutes_is_refused() -> None:
    graph = picture()
    for place in range(3_000):
        feeders = {f"u{k}": [f"n{place - 100 - k}", 0] for k in range(5) if place - 100 - k >= 0}
        graph[f"n{place}"] = {"class_type": "ImageInvert", "inputs": feeders}

    assert "depend on one another" in refused(graph)["error"]["details"]


def test_many_graphs_in_one_are_no_trouble() -> None:
    graph = {f"{copy}-{node}": value for copy in range(100) for node, value in chain(40).items()}
    for copies in range(100):
        for place in range(1, 40):
            graph[f"{copies}-c{place}"] = {"class_type": "A", "inputs": {"image": [f"{copies}-c{place - 1}", 0]}}
        graph[f"{copies}-2"] = {"class_type": "SaveImage", "inputs": {"images": [f"{copies}-1", 0]}}

    assert len(parse(graph)) == 4_200


@pytest.mark.parametrize(
    ("document", "limits", "words"),
    [
        (chain(9), Limits(nodes=10), "11 nodes; 10 are allowed"),
        (picture(text="x" * 101), Limits(text=100), "a text of 101 characters"),
        (picture(deep=nested(64)), Limits(), "64 levels deep"),
        (picture(deep=nested(800)), Limits(), "64 levels deep"),
        (picture(deep=nested(100_000)), Limits(), "64 levels deep"),
        (picture(wide=[0] * 200), Limits(values=100), "100 values"),
    ],
)
def test_every_bound_is_kept(document: Any, limits: Limits, words: str) -> None:
    assert words in refused(document, limits)["error"]["details"]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 2**64, -(2**63) - 1, 10**300, "a\0b", "\ud800", b"x", (1,), {1, 2}]
)
def test_what_no_json_document_can_hold_is_refused(value: Any) -> None:
    assert refused(picture(foo=value))["error"]["type"] == "invalid_prompt"
    assert refused(picture(foo=[{"deep": value}]))["error"]["type"] == "invalid_prompt"


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 1])
def test_every_seed_of_comfyui_fits(seed: int) -> None:
    assert parse(picture(seed=seed))["2"]["inputs"]["seed"] == seed


@pytest.mark.parametrize(
    "name", ["/dev/zero", "../secret.png", "a/../../b.png", "..\\b.png", "C:\\x.png", "\\\\host\\x", "~/x"]
)
@pytest.mark.parametrize(
    ("class_type", "field"), [("LoadImage", "image"), ("LoadImageMask", "image"), ("LoadAudio", "audio")]
)
def test_a_loader_cannot_leave_its_folder_even_when_nothing_uses_it(
    name: str, class_type: str, field: str
) -> None:
    """A named pipe in an unused LoadImage stops the thread that runs prompts for good."""
    shown = refused(with_node("9", class_type, **{field: name}))

    assert shown["node_errors"]["9"]["errors"][0]["type"] == "custom_validation_failed"


@pytest.mark.parametrize("name", ["x.png", "sub/x.png", "a b (1).png", "x.png [output]", "..x.png", "x..png"])
def test_a_loader_may_name_what_lies_in_its_folder(name: str) -> None:
    assert parse(with_node("9", "LoadImage", image=name))["9"]["inputs"]["image"] == name


def test_output_nodes_are_those_that_the_server_says() -> None:
    info = {"SaveImage": {"output_node": True}, "EmptyImage": {"output_node": False}, "Odd": 5}
    graph = parse(
        {**picture(), "3": {"class_type": "Odd", "inputs": {}}, "4": {"class_type": "New", "inputs": {}}}
    )

    assert output_nodes(graph, info) == ["2"]


@given(DOCUMENTS)
def test_no_document_gives_anything_but_a_graph_or_a_refusal(document: Any) -> None:
    try:
        graph = parse(document)
    except Refusal:
        return
    assert all(link.source in graph for link in links(graph))
    assert all(isinstance(node["inputs"], dict) for node in graph.values())
