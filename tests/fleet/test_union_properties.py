"""Whatever servers say, their union is the one that an editor can use."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atelier.fleet.union import Told, choices_of, union

NAMES = st.sampled_from("abcd")
OPTIONS = st.lists(st.sampled_from(["x", "y", "z", "1", 1, True, 1.5]), max_size=5, unique_by=repr)
COMBOS = st.one_of(
    OPTIONS.map(lambda options: [options, {}]),
    OPTIONS.map(lambda options: ["COMBO", {"options": options}]),
)
SPECS = st.one_of(COMBOS, st.just(["INT", {"default": 1}]), st.just(["COMFY_DYNAMICCOMBO_V3", {"options": []}]))


def _without(inputs: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """An input is required or optional, not both."""
    return {name: spec for name, spec in inputs.items() if name not in others}


INPUTS = st.dictionaries(NAMES, SPECS, max_size=3)
CLASSES = st.builds(
    lambda required, optional: {"input": {"required": required, "optional": _without(optional, required)}},
    INPUTS,
    INPUTS,
)
TOLD = st.builds(Told, st.dictionaries(NAMES, CLASSES, max_size=4), st.sampled_from([(), (0, 3), (0, 4)]))
SOME = settings(max_examples=60)
FLEETS = st.lists(TOLD, max_size=4)


def combos(classes: Any) -> dict[tuple[str, str, str], list[Any]]:
    return {
        (name, group, key): found
        for name, entry in classes.items()
        for group, body in entry["input"].items()
        for key, spec in body.items()
        if (found := choices_of(spec)) is not None
    }


@SOME
@given(TOLD)
def test_equal_servers_are_as_one(told: Told) -> None:
    assert json.dumps(union([told, told, told])) == json.dumps(told.classes)


@SOME
@given(FLEETS)
def test_every_class_of_any_server_is_there_once_those_of_the_first_first(fleet: list[Told]) -> None:
    merged = union(fleet)

    assert list(merged) == list(dict.fromkeys(name for told in fleet for name in told.classes))


@SOME
@given(FLEETS)
def test_a_combo_offers_every_choice_of_the_same_input_and_no_other(fleet: list[Told]) -> None:
    for (name, _, key), offered in combos(union(fleet)).items():
        told = [_declared(one.classes[name], key) for one in fleet if name in one.classes]
        wanted = {json.dumps(choice) for choices in told for choice in choices}

        assert {json.dumps(choice) for choice in offered} == wanted
        assert len(offered) == len(wanted)


@SOME
@given(FLEETS)
def test_a_class_is_taken_whole_but_for_its_choices(fleet: list[Told]) -> None:
    for name, entry in union(fleet).items():
        assert any(_bare(entry) == _bare(told.classes[name]) for told in fleet if name in told.classes)


@SOME
@given(FLEETS)
def test_the_union_of_a_union_is_itself(fleet: list[Told]) -> None:
    merged = union(fleet)

    assert json.dumps(union([Told(merged), Told(merged)])) == json.dumps(merged)


def _declared(entry: Any, key: str) -> list[Any]:
    """As the first group that has it declares it."""
    groups = (entry["input"][group] for group in ("required", "optional"))
    return next((choices_of(body[key]) or [] for body in groups if key in body), [])


def _bare(entry: Any) -> Any:
    return {
        group: {key: spec if choices_of(spec) is None else "combo" for key, spec in body.items()}
        for group, body in entry["input"].items()
    }
