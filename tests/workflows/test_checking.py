"""A manifest that does not fit its graph, or what servers say of their nodes, is told in words, and where."""

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from atelier.comfy.graph import Graph
from atelier.fleet.inventory import Inventory, from_object_info
from atelier.workflows import checking
from atelier.workflows import manifest as manifests
from atelier.workflows.model import Manifest, Origin, Workflow
from support import workshop
from support.workshop import GRAPH, node

RECORDED = Path(__file__).parents[1] / "recordings" / "object_info.json.gz"


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    """What a real ComfyUI said of its nodes."""
    return from_object_info(json.loads(gzip.decompress(RECORDED.read_bytes())))


def _of(**parameters: dict[str, Any]) -> Manifest:
    return manifests.parse(workshop.with_parameters(**parameters), folder_id="boats")


def _faults(made: Manifest, graph: Graph, *inventories: Inventory) -> list[str]:
    return [str(fault) for fault in checking.faults(made, graph, inventories)]


def _sets(kind: str, place: str, **more: Any) -> Manifest:
    title, _, name = place.partition(".")
    return _of(it={"type": kind, "bind": {"node": title, "input": name}, **more})


def test_a_manifest_that_fits_has_no_faults(inventory: Inventory) -> None:
    assert _faults(workshop.manifest(), GRAPH, inventory) == []


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (_sets("int", "Samplr.steps"), "parameters.it.bind[0].node: no node has the id or title 'Samplr'"),
        (_sets("int", "Sampler.step"), "no input 'step' in graph.json; did you mean steps"),
        (workshop.manifest(outputs=[{"node": "Saved"}]), "outputs[0].node: no node has the id or title 'Saved'"),
        (
            _of(it={"type": "loras", "chain": {"node": "Latent", "clip": None}}),
            "",
        ),
        (
            _of(it={"type": "loras", "chain": {"node": "Save"}}),
            "parameters.it.chain.model: nothing takes output 0 of node 'Save'",
        ),
        (
            _of(
                a={"type": "int", "bind": {"node": "Sampler", "input": "steps"}},
                b={"type": "int", "bind": {"node": "5", "input": "steps"}},
            ),
            "parameters.b.bind[0]: a sets input 'steps' of node '5' too",
        ),
    ],
    ids=["node", "input", "output", "chain that fits", "chain", "twice"],
)
def test_a_manifest_is_compared_with_its_graph(made: Manifest, fault: str) -> None:
    faults = _faults(made, GRAPH)

    assert any(fault in each for each in faults) if fault else faults == []


def test_two_parameters_may_set_one_input_each_at_its_time() -> None:
    made = _of(
        mode={"type": "bool", "default": True, "bind": {"node": "Sampler", "input": "denoise"}},
        a={"type": "int", "bind": {"node": "Sampler", "input": "steps"}},
        b={
            "type": "int",
            "bind": {"node": "Sampler", "input": "steps"},
            "depends_on": {"parameter": "mode", "values": [False]},
        },
    )

    assert _faults(made, GRAPH) == []


def test_a_graph_that_no_server_takes_is_told() -> None:
    broken = {**GRAPH, "9": node("VAEDecode", "Lost", samples=["77", 0])}

    assert "graph.json: " in _faults(workshop.manifest(), broken)[0]


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (_sets("text", "Sampler.steps"), "a parameter of type text cannot set KSampler.steps, which takes INT"),
        (_sets("float", "Sampler.steps", min=1, max=5), "a parameter of type float cannot set KSampler.steps"),
        (
            _sets("bool", "Positive.text"),
            "a parameter of type bool cannot set CLIPTextEncode.text, which takes STRING",
        ),
        (_sets("int", "Sampler.steps", min=0, max=5), "min is 0, and KSampler.steps takes 1 and more"),
        (_sets("int", "Sampler.steps", min=1), "max is not given, and KSampler.steps takes 10000 at most"),
        (
            _sets("enum", "Sampler.sampler_name", choices=["euler", "dpmp_2m"]),
            "KSampler.sampler_name does not offer 'dpmp_2m'; did you mean dpmpp_2m",
        ),
        (
            _of(it={"type": "loras", "chain": {"node": "Latent", "clip": None}}),
            "parameters.it.chain.model: output 0 of EmptyLatentImage is LATENT, not MODEL",
        ),
        (workshop.manifest(outputs=[{"node": "Decode"}]), "outputs[0].node: VAEDecode saves nothing"),
        (
            _sets(
                "aspect_ratio",
                "Latent.width",
                choices=[{"value": "x", "width": 16, "height": 16}],
                bind={"node": "Latent", "input": "width", "part": "width"},
            ),
            "",
        ),
    ],
    ids=["text", "float", "bool", "min", "max", "choice", "chain", "output", "tile"],
)
def test_a_manifest_is_compared_with_what_servers_say(made: Manifest, fault: str, inventory: Inventory) -> None:
    faults = _faults(made, GRAPH, inventory)

    assert any(fault in each for each in faults) if fault else faults == [], faults


def test_an_input_that_no_node_has_is_told_though_the_graph_has_it(inventory: Inventory) -> None:
    graph = copy.deepcopy(GRAPH)
    graph["5"]["inputs"]["stepz"] = 3

    assert (
        "KSampler has no input 'stepz'; did you mean steps?"
        in _faults(_sets("int", "Sampler.stepz"), graph, inventory)[0]
    )


def test_a_graph_is_run_in_thought(inventory: Inventory) -> None:
    graph = copy.deepcopy(GRAPH)
    del graph["5"]["inputs"]["cfg"]

    assert any(
        "node 5 (KSampler)" in fault and "cfg" in fault for fault in _faults(workshop.manifest(), graph, inventory)
    )


def test_a_file_that_may_be_left_out_can_be(inventory: Inventory) -> None:
    graph = copy.deepcopy(GRAPH)
    graph["8"] = node("LoadImage", "Photo", image="x.png")
    graph["9"] = node("VAEEncode", "Encode", pixels=["8", 0], vae=["1", 2])
    graph["5"]["inputs"]["latent_image"] = ["9", 0]
    bind = {"node": "Photo", "input": "image"}

    needed = _faults(_of(it={"type": "image", "required": True, "bind": bind}), graph, inventory)
    left_out = _faults(_of(it={"type": "image", "bind": bind}), graph, inventory)

    assert needed == []
    assert any("node 9 (VAEEncode)" in fault and "pixels" in fault for fault in left_out)


def test_a_model_that_no_server_has_is_no_fault_but_missing(inventory: Inventory) -> None:
    graph = copy.deepcopy(GRAPH)
    graph["1"]["inputs"]["ckpt_name"] = "nobody-has.safetensors"
    graph["99"] = node("NobodyHasThis", "Odd")
    made = workshop.manifest()
    workflow = Workflow(1, 1, Origin.FOLDER, None, made, graph, b"")

    lacked = checking.missing(workflow, inventory)

    assert _faults(made, graph, inventory) == []
    assert lacked.classes == {"NobodyHasThis"}
    assert {ref.value for ref in lacked.models} == {"nobody-has.safetensors"}
