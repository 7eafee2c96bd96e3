"""Nodes of packs do what their packs say, as far as no model is needed for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from atelier.simulator.catalogue import Catalogue
from atelier.simulator.config import NODE_PACKS, SimulatorConfig
from atelier.simulator.folders import Folders
from support.asking import Asker


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def drawn(**sampler: Any) -> dict[str, Any]:
    """A picture of 256 x 256 at node 6, its model behind up to four LoRAs at node 2."""
    stack: dict[str, Any] = {f"lora_{place:02}": "None" for place in range(1, 5)}
    stack |= {f"strength_{place:02}": 1.0 for place in range(1, 5)}
    steps = {"seed": 1, "steps": 1, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="Illustrious-XL-v1.0.safetensors"),
        "2": node("Lora Loader Stack (rgthree)", model=["1", 0], clip=["1", 1], **stack),
        "3": node("CLIPTextEncode", text="a knight", clip=["2", 1]),
        "4": node("EmptyLatentImage", width=256, height=256, batch_size=1),
        "5": node(
            "KSampler",
            model=["2", 0],
            positive=["3", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            **steps | sampler,
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
    }


def saved(*source: Any) -> dict[str, Any]:
    return node("SaveImage", images=list(source), filename_prefix="made")


def differs(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is not None


async def test_a_stack_holds_its_loras_and_none_is_none(asker: Asker) -> None:
    plain, stacked, weightless = drawn(), drawn(), drawn()
    stacked["2"]["inputs"]["lora_03"] = "simulated_detail.safetensors"
    weightless["2"]["inputs"] |= {"lora_03": "simulated_detail.safetensors", "strength_03": 0.0}

    made = [(await asker.pictures(graph | {"7": saved("6", 0)}))[0] for graph in (plain, stacked, weightless)]

    assert differs(made[0], made[1])
    assert not differs(made[0], made[2])


async def test_only_the_face_is_detailed_and_its_mask_says_where_it_is(asker: Asker) -> None:
    graph = drawn() | {
        "7": node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt"),
        "8": node("FaceDetailer", **{**DETAIL, "image": ["6", 0]}),
        "9": saved("6", 0),
        "10": saved("8", 0),
        "11": node("MaskToImage", mask=["8", 3]),
        "12": saved("11", 0),
    }

    before, after, mask = await asker.pictures(graph)

    changed = ImageChops.difference(before, after).getbbox()
    where = mask.getbbox()
    assert changed is not None
    assert where is not None
    assert where[0] <= changed[0] < changed[2] <= where[2]
    assert where[1] <= changed[1] < changed[3] <= where[3]


async def test_a_figure_before_a_plain_background_is_cut_out_by_its_edges(asker: Asker) -> None:
    scene = Image.new("RGB", (120, 90), (240, 240, 235))
    scene.paste((20, 60, 160), (40, 20, 80, 70))
    name = await asker.upload("scene.png", scene)
    graph = {
        "1": node("LoadImage", image=name),
        "2": node("easy imageRemBg", images=["1", 0], rem_mode="RMBG-1.4", image_output="Hide", save_prefix="cut"),
        "3": node("ThresholdMask", mask=["2", 1], value=0.5),
        "4": node("MaskBoundingBox+", mask=["3", 0], padding=3, blur=0, image_optional=["2", 0]),
        "5": saved("4", 1),
        "6": node("PreviewAny", source=["4", 2]),
    }

    entry = await asker.run(graph)

    cut = await asker.picture(entry["outputs"]["5"]["images"][0])
    assert cut.mode == "RGBA"
    assert cut.size == (46, 56)
    assert cut.getchannel("A").getpixel((0, 0)) == 0
    assert cut.getpixel((10, 10)) == (20, 60, 160, 255)
    assert entry["outputs"]["6"]["text"] == ["37"]


async def test_a_mask_that_shows_nothing_has_no_box(asker: Asker) -> None:
    graph = {
        "1": node("SolidMask", value=0.0, width=32, height=32),
        "2": node("MaskBoundingBox+", mask=["1", 0], padding=0, blur=0),
        "3": saved("2", 1),
    }

    entry = await asker.run(graph)

    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1][1]["node_type"] == "MaskBoundingBox+"


async def test_another_reference_makes_another_picture_and_the_same_one_the_same(asker: Asker) -> None:
    red = await asker.upload("red.png", Image.new("RGB", (64, 64), "red"))
    blue = await asker.upload("blue.png", Image.new("RGB", (64, 64), "blue"))

    first, other, again = [
        (await asker.pictures(referring(name) | {"20": saved("6", 0)}))[0] for name in (red, blue, red)
    ]

    assert differs(first, other)
    assert not differs(first, again)


async def test_an_adapter_without_a_vision_model_fails_as_it_does(asker: Asker) -> None:
    red = await asker.upload("red.png", Image.new("RGB", (64, 64), "red"))
    graph = referring(red) | {"20": saved("6", 0)}
    del graph["13"]["inputs"]["clip_vision"]

    entry = await asker.run(graph)

    [_, told] = entry["status"]["messages"][-1]
    assert told["exception_message"].strip() == "Missing CLIPVision model."


@pytest.mark.parametrize(
    ("tapered", "expand", "kept"), [(False, 2, (13, 13, 19, 19)), (True, 2, (13, 13, 19, 19)), (True, -1, None)]
)
async def test_a_mask_grows_by_whole_pixels(
    asker: Asker, *, tapered: bool, expand: int, kept: tuple[int, int, int, int] | None
) -> None:
    dot = Image.new("L", (32, 32), 0)
    dot.paste(255, (15, 15, 17, 17))
    name = await asker.upload("dot.png", dot)
    graph = {
        "1": node("LoadImageMask", image=name, channel="red"),
        "2": node("GrowMask", mask=["1", 0], expand=expand, tapered_corners=tapered),
        "3": node("MaskToImage", mask=["2", 0]),
        "4": saved("3", 0),
    }

    [made] = await asker.pictures(graph)

    assert made.getbbox() == kept
    if kept:
        assert (made.getpixel((kept[0], kept[1])) == (0, 0, 0)) == tapered


async def test_alpha_is_joined_and_split_and_means_the_same(asker: Asker) -> None:
    name = await asker.upload("half.png", Image.new("RGBA", (8, 8), (10, 20, 30, 0)))
    graph = {
        "1": node("LoadImage", image=name),
        "2": node("JoinImageWithAlpha", image=["1", 0], alpha=["1", 1]),
        "3": node("SplitImageWithAlpha", image=["2", 0]),
        "4": saved("2", 0),
        "5": node("MaskToImage", mask=["3", 1]),
        "6": saved("5", 0),
    }

    joined, split = await asker.pictures(graph)

    assert joined.getpixel((4, 4)) == (10, 20, 30, 0)
    assert split.getpixel((4, 4)) == (255, 255, 255)


def test_a_server_has_the_packs_that_it_was_given(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.make()
    bare = SimulatorConfig(directory=tmp_path, node_packs=())
    one = replace(bare, node_packs=("ComfyUI_essentials",))

    every, none, only = (
        set(Catalogue(config, folders).names()) for config in (replace(bare, node_packs=NODE_PACKS), bare, one)
    )

    assert only - none == {"MaskBoundingBox+"}
    assert {"FaceDetailer", "easy imageRemBg", "VHS_VideoCombine"} <= every - none


def test_loaders_of_packs_offer_the_files_of_their_own_folders(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.make()
    catalogue = Catalogue(SimulatorConfig(directory=tmp_path), folders)

    info = catalogue.object_info(
        ["UltralyticsDetectorProvider", "Lora Loader Stack (rgthree)", "CLIPVisionLoader"]
    )

    choices = {name: [spec[0] for spec in one["input"]["required"].values()] for name, one in info.items()}
    assert choices["UltralyticsDetectorProvider"] == [["bbox/face_yolov8m.pt", "bbox/hand_yolov8s.pt"]]
    assert choices["Lora Loader Stack (rgthree)"][2][0] == "None"
    assert choices["CLIPVisionLoader"] == [["CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"]]


DETAIL: dict[str, Any] = {
    "model": ["2", 0],
    "clip": ["2", 1],
    "vae": ["1", 2],
    "positive": ["3", 0],
    "negative": ["3", 0],
    "bbox_detector": ["7", 0],
    "guide_size": 512,
    "guide_size_for": True,
    "max_size": 1024,
    "seed": 1,
    "steps": 1,
    "cfg": 7,
    "sampler_name": "euler",
    "scheduler": "AYS SDXL",
    "denoise": 0.5,
    "feather": 5,
    "noise_mask": True,
    "force_inpaint": True,
    "bbox_threshold": 0.5,
    "bbox_dilation": 10,
    "bbox_crop_factor": 3,
    "sam_detection_hint": "center-1",
    "sam_dilation": 0,
    "sam_threshold": 0.93,
    "sam_bbox_expansion": 0,
    "sam_mask_hint_threshold": 0.7,
    "sam_mask_hint_use_negative": "False",
    "drop_size": 10,
    "wildcard": "",
    "cycle": 1,
}


def referring(name: str) -> dict[str, Any]:
    graph = drawn() | {
        "10": node("LoadImage", image=name),
        "11": node("IPAdapterModelLoader", ipadapter_file="ip-adapter-plus_sdxl_vit-h.safetensors"),
        "12": node("CLIPVisionLoader", clip_name="CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
        "13": node(
            "IPAdapterAdvanced",
            model=["2", 0],
            ipadapter=["11", 0],
            image=["10", 0],
            weight=0.8,
            weight_type="linear",
            combine_embeds="concat",
            start_at=0,
            end_at=1,
            embeds_scaling="V only",
            clip_vision=["12", 0],
        ),
    }
    graph["5"]["inputs"]["model"] = ["13", 0]
    return graph
