"""What is proposed for a graph could be published as it is, and says what a person would want to change."""

import json
from typing import Any

import pytest

from atelier.fleet.inventory import from_object_info
from atelier.workflows import binding, checking, manifest, values
from atelier.workflows.converting.convert import convert
from atelier.workflows.converting.refusals import CannotConvert
from atelier.workflows.model import Kind, Manifest
from atelier.workflows.proposing.proposal import id_of, propose
from workflows.converting import kept
from workflows.converting.made_graphs import all_graphs, recorded

CLASSES = recorded()
GRAPH = convert(all_graphs()["form_of_newer_versions"], CLASSES).graph


@pytest.fixture(scope="module")
def proposed() -> Manifest:
    return propose(GRAPH, CLASSES, name="Light house")


def test_the_usual_chain_gets_the_usual_parameters(proposed: Manifest) -> None:
    names = [one.name for one in proposed.parameters]

    usual = ["prompt", "negative_prompt", "aspect_ratio", "batch_size", "seed", "model", "loras", "steps", "cfg"]
    assert names == [*usual, "sampler", "scheduler", "denoise"]
    assert (proposed.id, proposed.category, proposed.outputs[0].node) == ("light-house", "text-to-image", "7")


def test_a_prompt_is_told_from_what_must_not_be_shown(proposed: Manifest) -> None:
    prompt, negative = proposed.parameter("prompt"), proposed.parameter("negative_prompt")

    assert prompt
    assert negative
    assert [one.node for one in prompt.bind] == ["2"]
    assert [one.node for one in negative.bind] == ["3"]
    assert (prompt.required, negative.default) == (True, "rain")


def test_bounds_are_sensible_and_allow_what_the_graph_has(proposed: Manifest) -> None:
    steps, size = proposed.parameter("steps"), proposed.parameter("aspect_ratio")

    assert steps
    assert size
    assert (steps.default, steps.minimum, steps.maximum) == (12, 1, 100)
    assert (size.default, size.choices[0].width, size.choices[0].height) == ("2:3", 512, 768)


def test_what_is_said_reaches_the_graph(proposed: Manifest) -> None:
    given = values.read(proposed, {"prompt": "a boat", "aspect_ratio": "1:1", "seed": 5, "steps": 30})

    bound = binding.bound(proposed, GRAPH, given)

    assert bound["2"]["inputs"]["text"] == "a boat"
    assert bound["5"]["inputs"]["seed"] == 5
    assert bound["5"]["inputs"]["steps"] == 30
    assert bound["4"]["inputs"]["width"] == bound["4"]["inputs"]["height"]


def test_packs_are_those_of_classes_that_no_comfyui_brings_along() -> None:
    entry: dict[str, Any] = CLASSES["SaveImage"] | {"python_module": "custom_nodes.some-pack"}
    graph = json.loads(json.dumps(GRAPH).replace('"SaveImage"', '"SaveElse"'))
    graph["7"]["_meta"]["aux_id"] = "owner/some-pack"

    [pack] = propose(graph, CLASSES | {"SaveElse": entry}).packs

    assert (pack.name, pack.url, pack.nodes) == ("some-pack", "https://github.com/owner/some-pack", ("SaveElse",))


def test_every_template_that_is_converted_gets_a_manifest_that_could_be_published() -> None:
    inventory = from_object_info(CLASSES)
    faulty: dict[str, list[str]] = {}
    kinds: set[Kind] = set()
    for name, content in kept.templates().items():
        try:
            graph = convert(json.loads(content), CLASSES).graph
        except CannotConvert:
            continue
        made = propose(graph, CLASSES, name=name)
        kinds |= {one.kind for one in made.parameters}
        assert manifest.parse(manifest.spelled(made)) == made
        faults = [str(one) for one in checking.faults(made, graph, [inventory]) if "graph.json" not in one.where]
        if faults:
            faulty[name] = faults

    assert faulty == {}
    assert {Kind.TEXT, Kind.SEED, Kind.IMAGE, Kind.MODEL, Kind.ASPECT_RATIO, Kind.ENUM} <= kinds


@pytest.mark.parametrize(
    ("name", "made"),
    [("Wan 2.2 (text)", "wan-2-2-text"), ("  ", ""), ("É", ""), ("x" * 99, "x" * 64)],
    ids=list("abcd"),
)
def test_ids_are_made_of_names(name: str, made: str) -> None:
    assert id_of(name) == made
