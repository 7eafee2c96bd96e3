"""What is no workflow, or cannot be run by any server, is refused by name, quickly and within little memory."""

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atelier.workflows.converting.convert import Converted, convert
from atelier.workflows.converting.refusals import CannotConvert, Why
from workflows.converting import kept
from workflows.converting.drawing_board import Board
from workflows.converting.made_graphs import SUB, all_graphs, object_info, picture, saved, text_to_image
from workflows.converting.made_subgraphs import around, blurring, host

CLASSES = object_info()


def reasons(document: Any) -> list[Why]:
    with pytest.raises(CannotConvert) as refused:
        convert(document, CLASSES)
    assert refused.value.details
    assert refused.value.message
    return [one.why for one in refused.value.reasons]


@pytest.mark.parametrize(
    "document",
    [
        None,
        5,
        "text",
        [],
        {},
        {"nodes": {}},
        {"nodes": [5]},
        {"nodes": [{}]},
        {"nodes": [{"id": 1}]},
        {"nodes": [{"id": [1], "type": "x"}]},
        {"nodes": [{"id": 1, "type": "Note"}, {"id": 1, "type": "Note"}]},
        {"nodes": [], "links": [[1]]},
        {"nodes": [], "links": ["x"]},
        {"nodes": [], "definitions": {"subgraphs": [{}]}},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_what_is_no_workflow_is_refused_as_such(document: Any) -> None:
    assert reasons(document) == [Why.NOT_A_WORKFLOW]


def test_every_node_that_nobody_has_is_named() -> None:
    board = Board()
    saved(board, picture(board))
    board.node("Nobody")
    inner = blurring()
    inner["nodes"].append({"id": 77, "type": "NobodyEither", "inputs": [], "outputs": []})
    host(board, [7])

    with pytest.raises(CannotConvert) as refused:
        convert(board.file(inner), CLASSES)

    named = [(one.why, one.node, one.class_type) for one in refused.value.reasons]
    assert named == [(Why.UNKNOWN_NODE, "3", "Nobody"), (Why.UNKNOWN_NODE, "4:77", "NobodyEither")]


def test_what_only_a_browser_can_fill_is_refused() -> None:
    board = Board()
    saved(board, picture(board))
    board.node("WebcamCapture", ["x", 512, 512, True])

    assert reasons(board.file()) == [Why.BROWSER_NODE]


def test_wires_that_only_a_script_draws_are_refused() -> None:
    board = Board()
    saved(board, picture(board))
    board.node("Anything Everywhere", [])

    assert reasons(board.file()) == [Why.SCRIPTED_NODE]


def test_an_old_group_node_is_refused() -> None:
    board = Board()
    saved(board, picture(board))
    board.node("workflow>My group", [])

    assert reasons(board.file()) == [Why.OLD_GROUP_NODE]


def test_a_workflow_that_saves_nothing_is_refused() -> None:
    board = Board()
    picture(board)

    assert reasons(board.file()) == [Why.NOTHING_TO_RUN]


def test_a_link_to_a_node_that_is_not_there_is_refused() -> None:
    board = Board()
    save = saved(board, picture(board))
    board.links[0][1] = 99

    assert reasons(board.file()) == [Why.BROKEN_LINK]
    assert save


def test_reroutes_in_a_circle_are_refused() -> None:
    board = Board()
    first = board.node("Reroute", None, {"": "*"}, {"": "IMAGE"})
    second = board.node("Reroute", None, {"": "*"}, {"": "IMAGE"})
    board.wire(first, 0, second, "")
    board.wire(second, 0, first, "")
    saved(board, first)

    assert reasons(board.file()) == [Why.CYCLE]


def test_nodes_in_a_circle_are_refused() -> None:
    board = Board()
    at = text_to_image(board)
    invert = board.node("ImageInvert", None, {"image": "IMAGE"}, {"IMAGE": "IMAGE"})
    other = board.node("ImageInvert", None, {"image": "IMAGE"}, {"IMAGE": "IMAGE"})
    board.wire(invert, 0, other, "image")
    board.wire(other, 0, invert, "image")

    assert reasons(board.file()) == [Why.NOT_RUNNABLE]
    assert at


def test_subgraphs_that_contain_themselves_are_refused() -> None:
    board = Board()
    host(board, [7], f"{SUB}2")

    assert reasons(board.file(around(f"{SUB}2", f"{SUB}2"))) == [Why.RECURSIVE_SUBGRAPH]


def test_subgraphs_that_would_be_thousands_of_millions_are_refused_before_they_are_opened() -> None:
    board = Board()
    host(board, None, f"{SUB[:-2]}{40:02}", {"image": "IMAGE"})
    sheets = [blurring(f"{SUB[:-2]}00", shown=False)]
    for level in range(1, 41):
        inner = around(f"{SUB[:-2]}{level - 1:02}", f"{SUB[:-2]}{level:02}", shown=False)
        inner["nodes"].append({**inner["nodes"][0], "id": 21, "inputs": [], "outputs": []})
        sheets.append(inner)

    assert reasons(board.file(*sheets)) == [Why.TOO_BIG]


def test_definitions_in_definitions_have_an_end() -> None:
    document: dict[str, Any] = blurring()
    for _ in range(200):
        document = blurring() | {"definitions": {"subgraphs": [document]}}

    assert reasons({"nodes": [], "definitions": {"subgraphs": [document]}}) == [Why.TOO_BIG]


def test_too_many_nodes_are_refused() -> None:
    nodes = [{"id": number, "type": "Note"} for number in range(10_001)]

    assert reasons({"nodes": nodes, "links": []}) == [Why.TOO_BIG]


def test_thousands_of_reroutes_in_a_row_are_followed() -> None:
    board = Board()
    origin: Any = picture(board)
    nodes = [
        {"id": 10 + at, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 10 + at}], "outputs": []}
        for at in range(4_000)
    ]
    board.links += [[10 + at, 9 + at if at else origin, 0, 10 + at, 0, "*"] for at in range(4_000)]
    board.nodes += nodes
    save = board.node("SaveImage", ["x"], {"images": "IMAGE"}, id=9_999)
    board.wire(4_009, 0, save, "images")
    board.links[-1][0] = board.of(save)["inputs"][0]["link"] = 9_999

    graph = convert(board.file(), CLASSES).graph

    assert [node["inputs"]["images"] for node in graph.values() if node["class_type"] == "SaveImage"] == [["1", 0]]


def test_a_chain_of_subgraphs_is_opened_only_so_deep() -> None:
    board = Board()
    host(board, None, f"{SUB[:-3]}150", {"image": "IMAGE"})
    chain = [around(f"{SUB[:-3]}{level - 1:03}", f"{SUB[:-3]}{level:03}", shown=False) for level in range(1, 151)]

    assert reasons(board.file(blurring(f"{SUB[:-3]}000", shown=False), *chain)) == [Why.TOO_BIG]


SEEDS = [
    *(all_graphs()[name] for name in sorted(all_graphs()) if not name.startswith("every_class")),
    *(json.loads(kept.templates()[name]) for name in sorted(kept.templates())[::40]),
]
NUMBERS = (-1, 0, 2**60, 1.5, float("nan"), -10, -20, 4)
ODD: tuple[Any, ...] = (None, True, *NUMBERS, "", "x", "-1", "10", [], [[]], {}, {"a": 1})


def mutated(document: Any, dice: random.Random) -> Any:
    """Something somewhere in it is something else, is gone, or stands there twice."""
    document = copy.deepcopy(document)
    for _ in range(dice.randrange(1, 6)):
        here = document
        for _ in range(dice.randrange(1, 9)):
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = dice.choice(keys)
            if isinstance(here[key], dict | list) and here[key] and dice.random() < 0.8:
                here = here[key]
                continue
            match dice.randrange(4):
                case 0:
                    del here[key]
                case 1 if isinstance(here, list):
                    here.append(copy.deepcopy(here[key]))
                case _:
                    here[key] = copy.deepcopy(dice.choice(ODD))
            break
    return document


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(range(len(SEEDS))), st.integers(0, 2**32))
def test_of_any_file_there_is_a_graph_or_a_refusal(which: int, seed: int) -> None:
    document = mutated(SEEDS[which], random.Random(seed))  # noqa: S311 - no secret

    try:
        made: Converted | CannotConvert = convert(document, CLASSES)
    except CannotConvert as refusal:
        made = refusal

    assert isinstance(made, Converted) or made.reasons
