from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageChops

from atelier.simulator.catalogue import Catalogue
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.folders import Folders
from atelier.simulator.memory import SWAP_SHARE, ModelMemory, size_gb
from atelier.simulator.nodes.registry import NODES
from support.asking import Asker


def text_to_image(seed: int = 1, text: str = "a lighthouse", checkpoint: str = "simulated_xl.safetensors") -> Any:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["1", 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 256, "height": 128, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["3", 0],
                "latent_image": ["4", 0],
                "seed": seed,
                "steps": 2,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "drawn"}},
    }


def differs(first: Image.Image, second: Image.Image) -> bool:
    return ImageChops.difference(first, second).getbbox() is not None


async def test_the_same_job_draws_the_same_picture_and_another_seed_or_text_another(asker: Asker) -> None:
    [first] = await asker.pictures(text_to_image(seed=1))
    [other_seed] = await asker.pictures(text_to_image(seed=2))
    [other_text] = await asker.pictures(text_to_image(seed=1, text="a tower"))
    [again] = await asker.pictures(text_to_image(seed=1))

    assert first.size == (256, 128)
    assert not differs(first, again)
    assert differs(first, other_seed)
    assert differs(first, other_text)


async def test_what_was_drawn_is_counted_once_for_each_rendering(asker: Asker) -> None:
    await asker.run(text_to_image(seed=1))
    await asker.run(text_to_image(seed=1))
    prompt_id = await asker.submit(text_to_image(seed=2))
    await asker.ended(prompt_id)

    state = await asker.get("/control/state")

    assert len(state["drawn"]) == 2
    assert state["drawn"][1]["prompt_id"] == prompt_id
    assert state["executions"][prompt_id] == 1


async def test_inpainting_changes_only_what_the_mask_shows(asker: Asker) -> None:
    base = Image.new("RGBA", (64, 64), (0, 90, 180, 255))
    base.paste((0, 90, 180, 0), (32, 0, 64, 64))
    name = await asker.upload("half.png", base)
    graph = text_to_image()
    graph["8"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    graph["9"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["8", 0], "vae": ["1", 2]}}
    graph["4"] = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["9", 0], "mask": ["8", 1]}}

    [picture] = await asker.pictures(graph)

    plain = Image.new("RGB", (64, 64), (0, 90, 180))
    assert not differs(picture.crop((0, 0, 31, 64)), plain.crop((0, 0, 31, 64)))
    assert differs(picture.crop((33, 0, 64, 64)), plain.crop((33, 0, 64, 64)))


async def test_a_picture_that_was_only_encoded_and_decoded_stays_itself(asker: Asker) -> None:
    name = await asker.upload("plain.png", Image.new("RGB", (64, 64), (1, 2, 3)))
    graph = {
        "1": {"class_type": "VAELoader", "inputs": {"vae_name": "simulated_vae.safetensors"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": name}},
        "3": {"class_type": "VAEEncode", "inputs": {"pixels": ["2", 0], "vae": ["1", 0]}},
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 0]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
    }

    [picture] = await asker.pictures(graph)

    assert picture.getcolors() == [(64 * 64, (1, 2, 3))]


async def test_separate_loaders_and_an_upscaler_work_together(asker: Asker) -> None:
    graph = text_to_image()
    graph["1"] = {
        "class_type": "UNETLoader",
        "inputs": {"unet_name": "simulated_flux.safetensors", "weight_dtype": "default"},
    }
    clips = {"clip_name1": "simulated_clip_l.safetensors", "clip_name2": "simulated_t5xxl.safetensors"}
    graph["10"] = {"class_type": "DualCLIPLoader", "inputs": {**clips, "type": "flux"}}
    graph["11"] = {"class_type": "VAELoader", "inputs": {"vae_name": "simulated_vae.safetensors"}}
    lora = {"lora_name": "simulated_detail.safetensors", "strength_model": 1.0}
    graph["12"] = {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["1", 0], **lora}}
    graph["13"] = {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "simulated_4x.pth"}}
    graph["14"] = {
        "class_type": "ImageUpscaleWithModel",
        "inputs": {"upscale_model": ["13", 0], "image": ["6", 0]},
    }
    graph["2"]["inputs"]["clip"] = graph["3"]["inputs"]["clip"] = ["10", 0]
    graph["5"]["inputs"]["model"] = ["12", 0]
    graph["6"]["inputs"]["vae"] = ["11", 0]
    graph["7"]["inputs"]["images"] = ["14", 0]

    [picture] = await asker.pictures(graph)

    assert picture.size == (1024, 512)
    assert (await asker.get("/control/state"))["loads"] == 6


def test_every_node_of_the_catalogue_can_be_executed(config: SimulatorConfig) -> None:
    folders = Folders(config.directory or pytest.fail("a directory is set"))
    folders.make()

    assert set(Catalogue(config, folders).names()) == set(NODES)


def test_a_server_may_lack_nodes_and_models(config: SimulatorConfig) -> None:
    folders = Folders(config.directory or pytest.fail("a directory is set"))
    folders.make()
    poor = replace(config, without_nodes=("KSampler",), checkpoints=("one.safetensors",))

    info = Catalogue(poor, folders).object_info(["KSampler", "CheckpointLoaderSimple"])

    assert list(info) == ["CheckpointLoaderSimple"]
    assert info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == ["one.safetensors"]


def test_a_swap_costs_time_and_a_warm_model_none() -> None:
    size = size_gb("checkpoints", "a")
    memory = ModelMemory(vram_gb=size + 1, load_seconds=1.0, load_seconds_per_gb=2.0)

    first, warm = memory.need("checkpoints", "a"), memory.need("checkpoints", "a")
    memory.need("checkpoints", "b")
    swapped = memory.need("checkpoints", "a")

    assert first == 1.0 + 2.0 * size
    assert warm == 0.0
    assert swapped == pytest.approx(first * SWAP_SHARE)
    assert memory.resident() == ["checkpoints/a"]
