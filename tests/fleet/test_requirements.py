"""What a graph needs of a server, which large models it loads, and what a misspelt name is most like."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atelier.fleet.model import ModelRef, Requirement
from atelier.fleet.requirements import digest_of, lane_of, nearest, requirement_of
from support.fleet import sampled
from support.graphs import picture
from support.yard import Yard, requirement


def loader(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def test_a_graph_needs_its_classes_and_its_model_files() -> None:
    needed = requirement_of(sampled(checkpoint="sdxl.safetensors"))

    assert needed.classes == {
        "CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "SaveImage",
    }  # fmt: skip
    assert needed.models == {ModelRef("CheckpointLoaderSimple", "ckpt_name", "sdxl.safetensors")}


def test_a_model_is_known_by_its_loader_or_by_its_name() -> None:
    graph = {
        "1": loader("UNETLoader", unet_name="flux", weight_dtype="default"),
        "2": loader("LoraLoader", lora_name="style", model=["1", 0]),
        "3": loader("SomebodysLoader", file="thing.GGUF", text="a picture", number=3),
    }

    assert requirement_of(graph).models == {
        ModelRef("UNETLoader", "unet_name", "flux"),
        ModelRef("LoraLoader", "lora_name", "style"),
        ModelRef("SomebodysLoader", "file", "thing.GGUF"),
    }


def test_a_model_that_another_node_chooses_is_not_known() -> None:
    graph = {"1": loader("PrimitiveString", value="x"), "2": loader("CheckpointLoaderSimple", ckpt_name=["1", 0])}

    assert requirement_of(graph).models == frozenset()
    assert lane_of(graph) == ""


def test_graphs_that_differ_in_texts_and_seeds_have_one_requirement_set() -> None:
    first, second = requirement_of(sampled(seed=1)), requirement_of(sampled(seed=2, steps=50))

    assert digest_of(first) == digest_of(second)
    assert digest_of(first) != digest_of(requirement_of(sampled(checkpoint="other.safetensors")))


def test_a_requirement_set_survives_json() -> None:
    needed = requirement_of(sampled())

    assert Requirement.from_json(needed.as_json()) == needed


async def test_a_requirement_set_is_stored_once(yard: Yard) -> None:
    first, second = await requirement(yard.database, "A", "B"), await requirement(yard.database, "B", "A")

    assert first == second
    assert first != await requirement(yard.database, "A")


def test_the_lane_is_what_is_large() -> None:
    graph = {
        "1": loader("UNETLoader", unet_name="flux.safetensors"),
        "2": loader("DualCLIPLoader", clip_name1="t5.safetensors", clip_name2="clip_l.safetensors"),
        "3": loader("VAELoader", vae_name="ae.safetensors"),
        "4": loader("LoraLoader", lora_name="style.safetensors"),
        "5": loader("UNETLoader", unet_name="flux.safetensors"),
    }

    assert lane_of(graph) == "ae.safetensors|clip_l.safetensors|flux.safetensors|t5.safetensors"
    assert lane_of(picture()) == ""


def test_the_nearest_names_come_first_and_case_does_not_count() -> None:
    known = ["KSampler", "KSamplerAdvanced", "VAEDecode", "SaveImage"]

    assert nearest("ksampler", known)[0] == "KSampler"
    assert nearest("KSamplr", known)[0] == "KSampler"
    assert nearest("VaeDecod", known) == ["VAEDecode"]
    assert nearest("zzzz", known) == []


def test_no_more_names_are_told_than_help() -> None:
    assert len(nearest("model", [f"model{number}" for number in range(50)])) == 3


@given(st.text(), st.lists(st.text()))
def test_only_known_names_are_told(name: str, known: list[str]) -> None:
    assert set(nearest(name, known)) <= set(known)
