import json
from typing import Any

from PIL import Image

from atelier.simulator.pictures import BYTES, Picture, float32
from support.asking import Asker


def empty(color: int = 0, width: int = 64, height: int = 48, batch: int = 1) -> dict[str, Any]:
    inputs = {"width": width, "height": height, "batch_size": batch, "color": color}
    return {"class_type": "EmptyImage", "inputs": inputs}


def load(name: str) -> dict[str, Any]:
    return {"class_type": "LoadImage", "inputs": {"image": name}}


def save(source: str, slot: int = 0, prefix: str = "x") -> dict[str, Any]:
    return {"class_type": "SaveImage", "inputs": {"images": [source, slot], "filename_prefix": prefix}}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def every_color() -> Image.Image:
    """All byte values in all three channels, each at another place."""
    content = bytes(value for pixel in range(256) for value in (pixel, 255 - pixel, pixel * 7 % 256))
    return Image.frombytes("RGB", (16, 16), content)


async def test_an_empty_image_has_its_size_color_and_number(asker: Asker) -> None:
    pictures = await asker.pictures({"1": empty(0x405060, 40, 24, batch=3), "2": save("1")})

    assert [picture.size for picture in pictures] == [(40, 24)] * 3
    assert pictures[2].getpixel((39, 23)) == (0x40, 0x50, 0x60)


async def test_what_was_uploaded_comes_back_pixel_for_pixel(asker: Asker) -> None:
    image = every_color()
    name = await asker.upload("all.png", image)

    [picture] = await asker.pictures({"1": load(name), "2": save("1")})

    assert picture.tobytes() == image.tobytes()


async def test_inverting_is_done_in_float_and_cut_off_as_comfyui_does(asker: Asker) -> None:
    name = await asker.upload("all.png", every_color())

    [picture] = await asker.pictures({"1": load(name), "2": node("ImageInvert", image=["1", 0]), "3": save("2")})

    expected = [int(float32(255.0 * float32(1.0 - float32(value / 255)))) for value in range(256)]
    assert picture.tobytes()[0::3] == bytes(expected)


def test_every_byte_survives_the_way_through_float() -> None:
    image = Image.frombytes("L", (256, 1), bytes(range(256)))

    assert Picture(image, tuple(BYTES)).saved().tobytes() == image.tobytes()


async def test_a_crop_is_cut_off_at_the_edge(asker: Asker) -> None:
    image = every_color()
    name = await asker.upload("all.png", image)
    crop = node("ImageCrop", image=["1", 0], width=10, height=4, x=12, y=99)

    [picture] = await asker.pictures({"1": load(name), "2": crop, "3": save("2")})

    assert picture.tobytes() == image.crop((12, 15, 16, 16)).tobytes()


async def test_alpha_becomes_a_mask_that_is_one_where_nothing_is(asker: Asker) -> None:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.putpixel((3, 4), (10, 20, 30, 0))
    name = await asker.upload("hole.png", image)

    [picture] = await asker.pictures({"1": load(name), "2": node("MaskToImage", mask=["1", 1]), "3": save("2")})

    assert picture.getpixel((3, 4)) == (255, 255, 255)
    assert picture.getpixel((0, 0)) == (0, 0, 0)


async def test_an_image_without_alpha_has_a_small_empty_mask(asker: Asker) -> None:
    name = await asker.upload("plain.png", Image.new("RGB", (8, 8), "white"))

    [picture] = await asker.pictures({"1": load(name), "2": node("MaskToImage", mask=["1", 1]), "3": save("2")})

    assert picture.size == (64, 64)
    assert picture.getbbox() is None


async def test_padding_is_half_grey_and_its_mask_falls_off_inside(asker: Asker) -> None:
    pad = node("ImagePadForOutpaint", image=["1", 0], left=16, top=0, right=0, bottom=8, feathering=10)
    graph = {
        "1": empty(0xFF0000, 64, 48),
        "2": pad,
        "3": save("2", prefix="image"),
        "4": node("MaskToImage", mask=["2", 1]),
        "5": save("4", prefix="mask"),
    }

    image, mask = await asker.pictures(graph)

    assert image.size == mask.size == (80, 56)
    assert image.getpixel((0, 0)) == (127, 127, 127)
    assert image.getpixel((16, 0)) == (255, 0, 0)
    assert [mask.getpixel((x, 10)) for x in (15, 16, 21, 26)] == [(255,) * 3, (255,) * 3, (63,) * 3, (0,) * 3]
    assert mask.getpixel((79, 47)) == (206,) * 3


async def test_scaling_keeps_the_proportion_where_one_side_is_zero(asker: Asker) -> None:
    scale = node("ImageScale", image=["1", 0], upscale_method="lanczos", width=0, height=12, crop="disabled")

    [picture] = await asker.pictures({"1": empty(1, 64, 48), "2": scale, "3": save("2")})

    assert picture.size == (16, 12)


async def test_batches_are_fitted_to_the_first(asker: Asker) -> None:
    join = node("ImageBatch", image1=["1", 0], image2=["2", 0])

    pictures = await asker.pictures({"1": empty(1), "2": empty(2, 100, 20), "3": join, "4": save("3")})

    assert [picture.size for picture in pictures] == [(64, 48)] * 2


async def test_a_saved_image_carries_graph_and_workflow(asker: Asker) -> None:
    graph = {"1": empty(7), "2": save("1", prefix="deep/er/%width%x%height%")}
    prompt_id = await asker.submit(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})

    [file] = (await asker.ended(prompt_id))["outputs"]["2"]["images"]
    picture = await asker.picture(file)

    assert file == {"filename": "64x48_00001_.png", "subfolder": "deep/er", "type": "output"}
    assert json.loads(picture.info["prompt"]) == graph
    assert json.loads(picture.info["workflow"]) == {"id": "w"}


async def test_names_count_on_from_what_is_there(asker: Asker) -> None:
    await asker.run({"1": empty(1, batch=2), "2": save("1", prefix="n")})

    entry = await asker.run({"1": empty(2), "2": save("1", prefix="n")})

    assert entry["outputs"]["2"]["images"][0]["filename"] == "n_00003_.png"


async def test_nothing_is_saved_outside_the_output_folder(asker: Asker) -> None:
    entry = await asker.run({"1": empty(1), "2": save("1", prefix="../../out")})

    assert entry["status"]["messages"][-1][0] == "execution_error"
