"""A fleet's node catalogue has what any server has, in the shapes of one of them."""

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from atelier.fleet.inventory import from_object_info
from atelier.fleet.union import Told, choices_of, ordered, union, version_of, with_choices

RECORDED = Path(__file__).parents[1] / "recordings" / "object_info.json.gz"


def node(**inputs: Any) -> dict[str, Any]:
    return {"input": {"required": inputs}, "input_order": {"required": list(inputs)}, "output": ["MODEL"]}


def choices(merged: dict[str, Any], class_type: str, name: str) -> Any:
    return choices_of(merged[class_type]["input"]["required"][name])


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def test_a_combo_offers_what_any_server_offers_in_the_order_of_the_first() -> None:
    first = {"L": node(ckpt=[["b", "a"], {"tooltip": "t"}])}
    second = {"L": node(ckpt=[["a", "c"], {"tooltip": "t"}])}

    merged = union([Told(first), Told(second)])

    assert merged["L"]["input"]["required"]["ckpt"] == [["b", "a", "c"], {"tooltip": "t"}]


def test_both_spellings_of_a_combo_are_merged_into_that_of_the_chosen_class() -> None:
    classic = {"L": node(ckpt=[["a"], {}])}
    third = {"L": node(ckpt=["COMBO", {"multiselect": False, "options": ["b"]}])}

    one = union([Told(classic, (0, 3)), Told(third, (0, 4))])
    other = union([Told(classic, (0, 4)), Told(third, (0, 3))])

    assert one["L"]["input"]["required"]["ckpt"] == ["COMBO", {"multiselect": False, "options": ["a", "b"]}]
    assert other["L"]["input"]["required"]["ckpt"] == [["a", "b"], {}]


def test_the_most_complete_description_of_a_class_wins_then_the_newest_then_the_first() -> None:
    narrow = {"N": node(a=["INT", {"default": 1}])}
    wide = {"N": node(a=["INT", {"default": 2}], b=["INT", {}])}
    as_narrow = {"N": node(a=["INT", {"default": 3}])}

    assert union([Told(narrow, (9,)), Told(wide, (1,))]) == wide
    assert union([Told(narrow, (1,)), Told(as_narrow, (2,))]) == as_narrow
    assert union([Told(narrow, (1,)), Told(as_narrow, (1,))]) == narrow


def test_an_input_that_is_optional_elsewhere_offers_its_choices_too() -> None:
    required = {"L": node(vae=[["a"], {}])}
    optional = {"L": {"input": {"required": {}, "optional": {"vae": [["b"], {}]}}, "output": []}}

    assert choices(union([Told(required), Told(optional)]), "L", "vae") == ["a", "b"]


def test_a_dynamic_combo_and_a_remote_one_come_whole_from_one_server() -> None:
    dynamic = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {}}]}]
    others = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "b", "inputs": {}}]}]
    remote = ["COMBO", {"remote": {"route": "/internal/files/output"}}]

    merged = union([Told({"D": node(a=dynamic, b=remote)}), Told({"D": node(a=others, b=[["x"], {}])})])

    assert merged["D"]["input"]["required"] == {"a": dynamic, "b": remote}


def test_choices_that_are_no_texts_are_told_apart_as_json_does() -> None:
    merged = union([Told({"L": node(a=[[1, "1"], {}])}), Told({"L": node(a=[[True, 1.0, {"k": 1}, 1], {}])})])

    assert json.dumps(choices(merged, "L", "a")) == '[1, "1", true, 1.0, {"k": 1}]'


def test_what_a_strange_pack_says_is_passed_on_as_it_is() -> None:
    strange: dict[str, Any] = {"A": None, "B": {"input": ["x"]}, "C": {"input": {"required": "y"}}, "D": "z"}

    assert union([Told(strange), Told({**strange, "E": {}})]) == {**strange, "E": {}}


def test_two_real_servers_make_one_whose_every_class_is_one_of_theirs(recorded: dict[str, Any]) -> None:
    other = copy.deepcopy(recorded)
    del other["KSampler"]
    other["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = ["sdxl.safetensors", "wan.safetensors"]
    other["UNETLoader"]["input"]["required"]["unet_name"] = ["COMBO", {"options": ["flux.safetensors"]}]
    other["Extra"] = node(a=["INT", {}])

    merged = union([Told(recorded, (0, 3, 64)), Told(other, (0, 3, 60))])

    assert list(merged) == [*recorded, "Extra"]
    assert choices(merged, "CheckpointLoaderSimple", "ckpt_name") == ["sdxl.safetensors", "wan.safetensors"]
    assert choices(merged, "UNETLoader", "unet_name") == ["flux.safetensors"]
    changed = {"CheckpointLoaderSimple", "UNETLoader", "Extra"}
    assert all(merged[name] == recorded[name] for name in merged.keys() - changed)


def test_inputs_stand_in_the_order_that_their_class_declares(recorded: dict[str, Any]) -> None:
    inventory = from_object_info(recorded)
    shuffled = json.loads(json.dumps(inventory.classes, sort_keys=True))

    restored = {name: ordered(entry) for name, entry in shuffled.items()}

    for name, entry in recorded.items():
        for group, body in entry["input"].items():
            assert list(restored[name]["input"][group]) == list(body)


def test_versions_sort_by_their_numbers() -> None:
    told = ["0.3.9", "0.3.64", "v0.4.0", "0.10.0-rc1", "1.0+cu", "unknown", ""]

    assert [version_of(text) for text in told] == [(0, 3, 9), (0, 3, 64), (0, 4, 0), (0, 10, 0), (1, 0), (), ()]


@pytest.mark.parametrize("spec", [[["a"], {"k": 1}], [["a"]], ["COMBO", {"options": ["a"], "k": 1}]])
def test_choices_are_put_where_they_were(spec: Any) -> None:
    assert choices_of(with_choices(spec, ["x", "y"])) == ["x", "y"]
    assert with_choices(spec, ["a"]) == spec
