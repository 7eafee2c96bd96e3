import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.catalog import Catalog
from atelier.comfy.validation import Generation, Verdict, validate

RECORDINGS = Path(__file__).parents[1] / "recordings"
NODES: dict[str, Any] = json.loads((importlib.resources.files("atelier.simulator") / "nodes.json").read_text())
CATALOG = Catalog(NODES)
EMPTY: dict[str, Any] = {
    "class_type": "EmptyImage",
    "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
}


def save(source: object) -> dict[str, Any]:
    return {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": "x"}}


def invert(source: object) -> dict[str, Any]:
    return {"class_type": "ImageInvert", "inputs": {"image": source}}


def recorded() -> list[Any]:
    """Every recorded POST /prompt whose graph is an object, with the answer that the real server gave."""
    events = json.loads((RECORDINGS / "d_validation.json").read_text())["events"]
    cases = []
    for number, event in enumerate(events):
        body = event.get("body")
        if (
            event.get("direction") != "request"
            or not isinstance(body, dict)
            or not isinstance(body.get("prompt"), dict)
        ):
            continue
        answer = next(later for later in events[number:] if later.get("direction") == "response")
        if answer["status"] != 500:
            cases.append(pytest.param(body, answer["body"], id=events[number - 1]["text"]))
    return cases


def comparable(value: Any) -> Any:
    """Without what differs on purpose: ComfyUI's own source lines and the prose of its tooltips."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key not in {"traceback", "tooltip"}}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def only_error(verdict: Verdict, node_id: str) -> dict[str, Any]:
    [error] = verdict.node_errors[node_id]["errors"]
    return dict(error)


@pytest.mark.parametrize(("body", "answer"), recorded())
def test_every_recorded_verdict_is_given_again(body: dict[str, Any], answer: dict[str, Any]) -> None:
    verdict = validate(body["prompt"], CATALOG, partial_targets=body.get("partial_execution_targets"))

    assert comparable(verdict.error) == comparable(answer.get("error"))
    assert comparable(verdict.node_errors) == comparable(answer["node_errors"])


def test_a_good_graph_is_accepted_with_its_values_converted_and_the_given_one_left_alone() -> None:
    graph = {"1": {**EMPTY, "inputs": {**EMPTY["inputs"], "width": "64"}}, "2": save(["1", 0])}

    verdict = validate(graph, NODES)

    assert verdict.error is None
    assert verdict.outputs == ("2",)
    assert verdict.graph["1"]["inputs"]["width"] == 64
    assert graph["1"]["inputs"]["width"] == "64"


def test_only_the_wanted_outputs_are_judged() -> None:
    graph = {"1": EMPTY, "2": save(["1", 0]), "3": save(["99", 0])}

    verdict = validate(graph, CATALOG, partial_targets=["2"])

    assert verdict.outputs == ("2",)
    assert verdict.node_errors == {}


def test_a_file_is_looked_for_by_whoever_knows_the_folder() -> None:
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}, "2": save(["1", 0])}

    there = validate(graph, CATALOG, files=lambda *_: None)
    gone = validate(graph, CATALOG, files=lambda _class, _name, value: f"Invalid image file: {value}")

    assert there.error is None
    assert only_error(gone, "1")["details"] == "image - Invalid image file: a.png"


def test_files_may_be_left_to_others() -> None:
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}, "2": save(["1", 0])}

    assert validate(graph, CATALOG, skip_files=True).error is None
    assert validate(graph, CATALOG, skip_files=False).error is not None


def test_single_values_may_be_accepted_unseen() -> None:
    asset = {"type": "core/ASSET", "id": "x"}
    graph = {"1": {**EMPTY, "inputs": {**EMPTY["inputs"], "width": asset}}, "2": save(["1", 0])}

    verdict = validate(graph, CATALOG, ignore=lambda _class, name, value: value is asset and name == "width")

    assert verdict.error is None


def test_both_forms_of_a_combo_are_checked() -> None:
    graph = {
        "1": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "x.pth"}},
        "2": {"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["1", 0], "image": ["3", 0]}},
        "3": EMPTY,
        "4": save(["2", 0]),
    }

    error = only_error(validate(graph, CATALOG), "1")

    assert error["type"] == "value_not_in_list"
    assert error["details"] == "model_name: 'x.pth' not in []"


def test_a_long_list_of_choices_is_not_sent_back() -> None:
    node = {"input": {"required": {"x": [[f"m{n}" for n in range(21)], {}]}}, "output": [], "output_node": True}

    error = only_error(validate({"1": {"class_type": "N", "inputs": {"x": "y"}}}, {"N": node}), "1")

    assert error["details"] == "x: 'y' not in (list of length 21)"
    assert error["extra_info"]["input_config"] is None


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("*", "IMAGE", True),
        ("IMAGE", "*", True),
        ("INT", "INT,FLOAT", True),
        ("INT, STRING", "FLOAT,STRING", True),
        ("INT", "FLOAT", False),
        (["a"], "COMBO", False),
        (["a"], ["a"], True),
    ],
)
def test_comma_types_and_stars_fit(given: Any, wanted: Any, *, fits: bool) -> None:
    catalog = {
        "Source": {"input": {}, "output": [given]},
        "Sink": {"input": {"required": {"x": [wanted]}}, "output": [], "output_node": True},
    }
    graph = {"1": {"class_type": "Source", "inputs": {}}, "2": {"class_type": "Sink", "inputs": {"x": ["1", 0]}}}

    assert (validate(graph, catalog).error is None) is fits


def test_a_chain_deeper_than_the_old_server_walks_is_refused_in_its_words() -> None:
    graph = {"0": EMPTY, **{str(n): invert([str(n - 1), 0]) for n in range(1, 1000)}, "end": save(["999", 0])}

    verdict = validate(graph, CATALOG)

    [error] = [error for node in verdict.node_errors.values() for error in node["errors"]]
    assert error["type"] == "exception_during_inner_validation"
    assert error["extra_info"]["exception_type"] == "RecursionError"


def test_a_chain_of_thousands_is_accepted_where_nothing_bounds_it() -> None:
    graph = {"0": EMPTY, **{str(n): invert([str(n - 1), 0]) for n in range(1, 20_000)}, "end": save(["19999", 0])}

    verdict = validate(graph, CATALOG, max_depth=None)

    assert verdict.outputs == ("end",)


def test_a_cycle_has_no_reason_in_the_old_words_and_names_its_nodes_in_the_new() -> None:
    graph = {"1": invert(["2", 0]), "2": invert(["1", 0]), "3": save(["1", 0])}

    old = validate(graph, CATALOG)
    new = validate(graph, CATALOG, generation=Generation.NEW)

    assert (old.error or {})["details"] == ""
    assert old.node_errors == {}
    assert only_error(new, "1")["type"] == "dependency_cycle"
    assert only_error(new, "2")["extra_info"] == {"node_id": "2", "cycle_nodes": ["1", "2"]}


def test_an_unknown_class_is_named_in_the_words_of_either_generation() -> None:
    graph = {"7": {"class_type": "Nope", "inputs": {}, "_meta": {"title": "Mine"}}}

    old = validate(graph, CATALOG).error or {}
    new = validate(graph, CATALOG, generation=Generation.NEW).error or {}

    assert old["type"] == "invalid_prompt"
    assert new["type"] == "missing_node_type"
    assert new["extra_info"] == {"node_id": "7", "class_type": "Nope", "node_title": "Mine"}


HOSTILE: dict[str, Any] = {
    "self loop": {"1": invert(["1", 0]), "2": save(["1", 0])},
    "self loop of an output": {"2": save(["2", 0])},
    "inputs missing": {"1": {"class_type": "EmptyImage"}, "2": save(["1", 0])},
    "inputs missing on an output": {"2": {"class_type": "SaveImage"}},
    "inputs null": {"1": {"class_type": "EmptyImage", "inputs": None}, "2": save(["1", 0])},
    "inputs a list": {"2": {"class_type": "SaveImage", "inputs": []}},
    "inputs text": {"2": {"class_type": "SaveImage", "inputs": "images"}},
    "inputs a number": {"2": {"class_type": "SaveImage", "inputs": 5}},
    "class a list": {"2": {"class_type": [], "inputs": {}}},
    "class an object": {"2": {"class_type": {}, "inputs": {}}},
    "node a number": {"2": 5},
    "node null": {"2": None},
    "node text that says class_type": {"2": "class_type"},
    "link to a list": {"2": save([[], 0])},
    "link to null": {"2": save([None, 0])},
    "slot text": {"1": EMPTY, "2": save(["1", "0"])},
    "slot a fraction": {"1": EMPTY, "2": save(["1", 0.5])},
    "slot too low": {"1": EMPTY, "2": save(["1", -9])},
    "value infinite": {"1": {**EMPTY, "inputs": {**EMPTY["inputs"], "width": float("inf")}}, "2": save(["1", 0])},
    "value not a number": {
        "1": {**EMPTY, "inputs": {**EMPTY["inputs"], "width": float("nan")}},
        "2": save(["1", 0]),
    },
    "value with 5000 digits": {
        "1": {**EMPTY, "inputs": {**EMPTY["inputs"], "width": "9" * 5000}},
        "2": save(["1", 0]),
    },
    "value an object": {"1": {**EMPTY, "inputs": {**EMPTY["inputs"], "width": {"a": 1}}}, "2": save(["1", 0])},
}


@pytest.mark.parametrize("graph", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("generation", Generation)
def test_no_hostile_graph_is_accepted_and_none_crashes(graph: dict[str, Any], generation: Generation) -> None:
    verdict = validate(graph, CATALOG, generation=generation)

    assert verdict.error is not None
    assert verdict.outputs == ()
    json.dumps([verdict.error, verdict.node_errors])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
LINKS = st.tuples(st.sampled_from("123") | JSON_VALUES, st.integers(-2, 2) | JSON_VALUES).map(list)
INPUTS = st.dictionaries(
    st.sampled_from(["image", "images", "width", "height", "batch_size", "color", "filename_prefix", "vae"]),
    JSON_VALUES | LINKS,
    max_size=6,
)
NODE = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["SaveImage", "EmptyImage", "ImageInvert", "LoadImage", "VAEDecode"])},
    optional={"inputs": INPUTS | JSON_VALUES},
)


@given(st.dictionaries(st.sampled_from("123"), NODE | JSON_VALUES), st.sampled_from(Generation))
def test_no_graph_makes_the_judge_raise(graph: dict[str, Any], generation: Generation) -> None:
    verdict = validate(graph, CATALOG, generation=generation)

    assert (verdict.error is None) == bool(verdict.outputs)
    json.dumps([verdict.error, verdict.node_errors])


def test_a_large_tangle_ends_in_a_verdict() -> None:
    size = 1500
    batch = {
        str(n): {
            "class_type": "ImageBatch",
            "inputs": {"image1": [str((n + 1) % size), 0], "image2": [str(n // 2), 0]},
        }
        for n in range(size)
    }
    graph = {**batch, **{f"out{n}": save([str(n), 0]) for n in range(size)}}

    verdict = validate(graph, CATALOG, max_depth=None, generation=Generation.NEW)

    assert verdict.outputs == ()
