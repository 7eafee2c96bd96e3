"""What a graph needs of a server, which large models it loads, and what a misspelt name is most like."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.catalog import Catalog
from atelier.fleet.inventory import from_object_info
from atelier.fleet.loaders import LOADERS, folder_of
from atelier.fleet.model import ModelRef, Requirement
from atelier.fleet.requirements import digest_of, lane_of, missing, nearest, requirement_of
from support import comfy_recordings
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


def pack(**inputs: Any) -> dict[str, Any]:
    return {"input": {"required": inputs}, "python_module": "custom_nodes.somebodys-pack"}


FILES = {
    "checkpoints": {"sdxl.safetensors": 7, "sub/flux.safetensors": 12},
    "loras": {"styles/ink.safetensors": 1},
    "LLM": {"qwen": 9},
}
MINE = from_object_info(
    {
        "MyCheckpoint": pack(base=[["sdxl.safetensors", "sub/flux.safetensors"], {}], mode=[["fast", "good"], {}]),
        "MyModern": pack(file=["COMBO", {"options": ["None", "qwen"]}]),
        "MyLora": pack(style=[["None", "styles/ink.safetensors"], {}], text=["STRING", {}]),
        "MyOwnFolder": pack(weights=[["a.engine", "b.pth"], {}]),
        "LoadThing": pack(thing=[["x.pt"], {"image_upload": True}]),
        "Power Lora Loader (rgthree)": pack(),
    },
    FILES,
)


@pytest.mark.parametrize(
    ("node", "model", "lane"),
    [
        (loader("MyCheckpoint", base="sdxl.safetensors", mode="fast"), "sdxl.safetensors", "sdxl.safetensors"),
        (loader("MyModern", file="qwen"), "qwen", "qwen"),
        (loader("MyLora", style="styles/ink.safetensors", text="ends with .pt"), "styles/ink.safetensors", ""),
        (loader("MyOwnFolder", weights="b.pth"), "b.pth", ""),
        (loader("MyCheckpoint", base="gone.safetensors", mode="good"), "gone.safetensors", ""),
    ],
)
def test_a_loader_that_nobody_has_heard_of_is_known_by_its_choices(
    node: dict[str, Any], model: str, lane: str
) -> None:
    graph = {"1": node}

    assert {ref.value for ref in requirement_of(graph, [MINE]).models} == {model}
    assert lane_of(graph, [MINE]) == lane


def test_what_is_no_model_file_is_none() -> None:
    graph = {
        "1": loader("MyLora", style="None", text="a file called x.safetensors"),
        "2": loader("LoadThing", thing="x.pt"),
        "3": loader("LoadImage", image="odd name.pt"),
        "4": loader("MyCheckpoint", base={"__type": "core/ASSET", "info": {"id": "x"}}, mode="fast"),
        "5": loader("SaveImage", filename_prefix="like.ckpt"),
        "6": loader("VAELoader", vae_name="pixel_space"),
        "7": loader("Efficient Loader", vae_name="Baked VAE", lora_name="None"),
    }

    assert requirement_of(graph, [MINE]).models == frozenset()
    assert lane_of(graph, [MINE]) == ""


def test_of_loras_that_are_switched_on_and_off_those_that_are_on_are_needed() -> None:
    power = "Power Lora Loader (rgthree)"
    graph = {
        "1": loader(
            power,
            lora_1={"on": True, "lora": "ink.safetensors", "strength": 1},
            lora_2={"on": False, "lora": "off.safetensors", "strength": 1},
            lora_3={"on": True, "lora": "None", "strength": 1},
            lora_4={"on": True, "lora": "gone.safetensors", "strength": 1},
        )
    }

    needed = requirement_of(graph, [MINE])

    assert needed.models == {
        ModelRef(power, "lora_1", "ink.safetensors"),
        ModelRef(power, "lora_4", "gone.safetensors"),
    }
    assert missing(MINE, needed).models == {ModelRef(power, "lora_4", "gone.safetensors")}
    assert lane_of(graph, [MINE]) == ""


def test_a_server_that_lists_no_folders_tells_them_by_its_loaders() -> None:
    old = from_object_info(
        {
            "CheckpointLoaderSimple": pack(ckpt_name=[["sdxl.safetensors"], {}]),
            "MyCheckpoint": pack(base=[["sdxl.safetensors"], {}]),
        }
    )

    assert lane_of({"1": loader("MyCheckpoint", base="sdxl.safetensors")}, [old]) == "sdxl.safetensors"


def test_any_server_that_knows_the_loader_tells_its_folder() -> None:
    other = from_object_info({"KSampler": pack()})

    assert lane_of({"1": loader("MyModern", file="qwen")}, [other, MINE]) == "qwen"


@pytest.mark.parametrize(
    ("class_type", "inputs", "lane"),
    [
        ("UnetLoaderGGUF", {"unet_name": "flux.gguf"}, "flux.gguf"),
        ("WanVideoModelLoader", {"model": "wan.safetensors"}, "wan.safetensors"),
        ("Efficient Loader", {"ckpt_name": "a.ckpt", "vae_name": "v.pt", "lora_name": "l.pt"}, "a.ckpt|v.pt"),
        ("easy loraStack", {"lora_1_name": "l.pt"}, ""),
        ("IPAdapterModelLoader", {"ipadapter_file": "i.bin"}, ""),
        ("NunchakuFluxDiTLoader", {"model_path": "svdq-int4-flux"}, "svdq-int4-flux"),
    ],
)
def test_loaders_of_widely_used_packs_are_known_without_any_server(
    class_type: str, inputs: dict[str, str], lane: str
) -> None:
    graph = {"1": loader(class_type, **inputs)}

    assert {ref.value for ref in requirement_of(graph).models} == set(inputs.values())
    assert lane_of(graph) == lane


def test_the_loaders_of_a_recorded_server_are_in_the_table() -> None:
    """Every input of its catalogue that lists models is known with a folder that the server has."""
    object_info = comfy_recordings.object_info()
    catalog = Catalog(object_info)
    for class_type, inputs in LOADERS.items():
        if class_type in object_info:
            node = catalog.get(class_type)
            assert node is not None
            assert inputs.keys() <= {spec.name for spec in node.inputs}, class_type

    unknown = {
        (name, spec.name)
        for name in object_info
        if (node := catalog.get(name))
        for spec in node.inputs
        if spec.choices == [] and not spec.upload and folder_of(name, spec.name) is None
    }
    assert unknown == {("LoadLatent", "latent"), ("CheckpointLoader", "config_name")}


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
