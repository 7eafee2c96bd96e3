"""Every workflow that comes with Atelier fits its graph, names what it needs, and runs."""

import gzip
import io
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest
from PIL import Image

from atelier.comfy.assets import place_assets
from atelier.fleet.inventory import Inventory, from_object_info
from atelier.simulator.catalogue import Catalogue
from atelier.simulator.config import NODE_PACKS, SimulatorConfig
from atelier.simulator.folders import Folders
from atelier.workflows import checking, folders, values
from atelier.workflows.binding import bound, result_nodes
from atelier.workflows.manifest import CATEGORIES
from atelier.workflows.model import Kind, Manifest, Origin, Workflow
from atelier.workflows.store.revisions import NewRevision
from support.asking import Asker
from support.replay import RECORDINGS, simulated

SHIPPED = {folder.name: folder for folder in folders.shipped().iterdir() if (folder / folders.MANIFEST).is_file()}
EACH = pytest.mark.parametrize("name", sorted(SHIPPED))

SMALL: Mapping[str, Any] = {"steps": 1, "refine_steps": 1, "seed": 7, "frames": 13, "prompt": "a lighthouse"}
"""What makes a run quick, where a workflow takes it."""

NEWER: Mapping[str, str] = {"ImageScaleToTotalPixels": "resolution_steps", "SaveVideo": "format.codec"}
"""Inputs that newer servers ask of a class and that the recorded one does not know: it lets them pass."""

PAGE = Path(__file__).parents[2] / "docs" / "shipped-workflows.md"
PHOTO = "11111111-1111-1111-1111-111111111111"
MASK = "22222222-2222-2222-2222-222222222222"


def photo(size: tuple[int, int]) -> Image.Image:
    """Something with shapes and colours in it."""
    drawn = Image.effect_mandelbrot(size, (-2.0, -1.2, 0.6, 1.2), 30)
    return Image.merge("RGB", (drawn, drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.new("L", size, 90)))


def revision(name: str) -> NewRevision:
    read = folders.read(SHIPPED[name], Origin.SHIPPED)
    assert read.new is not None, read.faults
    return read.new


def workflow(name: str) -> Workflow:
    new = revision(name)
    return Workflow(1, 1, Origin.SHIPPED, None, new.manifest, new.graph, b"")


@pytest.fixture(scope="module")
def recorded() -> Inventory:
    return from_object_info(json.loads(gzip.decompress((RECORDINGS / "object_info.json.gz").read_bytes())))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """What a simulated server of the demo can run."""
    there = Folders(tmp_path_factory.mktemp("demo"))
    there.make()
    catalogue = Catalogue(SimulatorConfig(directory=there.root), there)
    return from_object_info(catalogue.object_info(catalogue.names()))


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncGenerator[Asker]:
    async with simulated(SimulatorConfig(directory=tmp_path)) as base, aiohttp.ClientSession() as session:
        yield Asker(session, base)


@EACH
def test_a_manifest_fits_its_graph_and_the_nodes_as_servers_declare_them(
    name: str, demo: Inventory, recorded: Inventory
) -> None:
    new = revision(name)

    assert checking.faults(new.manifest, new.graph, [demo]) == []
    if all(node["class_type"] in recorded.classes for node in new.graph.values()):
        assert checking.faults(new.manifest, new.graph, [recorded]) == []


@EACH
def test_the_demo_lacks_nothing_for_it(name: str, demo: Inventory) -> None:
    lacking = checking.missing(workflow(name), demo)

    assert not lacking.classes
    assert not lacking.models


@EACH
def test_the_packs_it_names_are_those_of_its_nodes_that_no_comfyui_has(name: str, recorded: Inventory) -> None:
    new = revision(name)

    foreign = {node["class_type"] for node in new.graph.values()} - recorded.classes.keys()

    assert {node for pack in new.manifest.packs for node in pack.nodes} == foreign
    assert {pack.name for pack in new.manifest.packs} <= set(NODE_PACKS)
    assert all(pack.url for pack in new.manifest.packs)


@EACH
def test_it_can_be_read_in_english_and_portuguese_and_says_what_it_costs(name: str) -> None:
    new = revision(name)
    manifest = new.manifest

    spoken = [manifest.name, manifest.description, *(one.label for one in manifest.parameters)]
    spoken += [example.title for example in manifest.examples]

    assert all(words.en and words.pt for words in spoken)
    assert all(bool(one.help.en) == bool(one.help.pt) for one in manifest.parameters)
    assert manifest.examples
    assert manifest.tags
    assert manifest.price > 0
    assert manifest.min_vram > 0
    assert new.cover is not None
    assert len(new.cover) <= 30_000


@EACH
def test_its_graph_says_what_newer_servers_ask_for(name: str) -> None:
    nodes = [node for node in revision(name).graph.values() if node["class_type"] in NEWER]

    assert all(NEWER[node["class_type"]] in node["inputs"] for node in nodes)


@EACH
def test_the_page_of_shipped_workflows_names_its_files_and_packs(name: str, demo: Inventory) -> None:
    [row] = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| `{name}` |")]
    files = checking.requirement(workflow(name), (demo,)).models

    assert all(f"`{file.value}`" in row for file in files)
    assert all(pack.name in row for pack in revision(name).manifest.packs)
    assert f"| {revision(name).manifest.min_vram:g} |" in row


def test_every_kind_of_product_is_shipped() -> None:
    categories = {revision(name).manifest.category for name in SHIPPED}
    families = {revision(name).manifest.family for name in SHIPPED}

    assert categories == set(CATEGORIES) - {"other"}
    assert {"sd15", "sdxl", "illustrious", "flux", "qwen-image", "wan"} <= families


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("text-to-image-sdxl", {"steps": 20, "cfg": 7, "sampler": "euler", "scheduler": "normal"}),
        ("text-to-image-qwen", {"steps": 20, "cfg": 4, "seed": -1}),
        ("image-to-image-qwen", {"steps": 20, "cfg": 4, "denoise": 0.75}),
        ("inpaint-qwen", {"steps": 25, "cfg": 5, "denoise": 1}),
        ("portrait-animation", {"expression_scale": 1, "frames": 300, "frame_rate": 25}),
    ],
)
def test_defaults_are_those_that_its_users_know(name: str, wanted: Mapping[str, Any]) -> None:
    parameters = {one.name: one.default for one in revision(name).manifest.parameters}

    assert {known: parameters[known] for known in wanted} == wanted


@EACH
def test_a_seed_is_drawn_unless_it_is_said_and_loras_are_half_as_strong(name: str) -> None:
    manifest = revision(name).manifest

    for seed in (one for one in manifest.parameters if one.kind is Kind.SEED):
        assert (seed.default, seed.minimum, seed.maximum) == (-1, -1, 2**31 - 1)
    for loras in (one for one in manifest.parameters if one.kind is Kind.LORAS):
        assert (loras.strength.default, loras.strength.minimum, loras.strength.maximum) == (0.5, 0, 2)


@EACH
async def test_it_runs_with_every_lora_and_file_that_it_takes(name: str, asker: Asker) -> None:
    new = revision(name)
    names = {
        PHOTO: await asker.upload("photo.png", photo((320, 256))),
        MASK: await asker.upload("mask.png", Image.new("L", (320, 256), 255)),
    }
    graph = place_assets(bound(new.manifest, new.graph, values.read(new.manifest, said(new.manifest))), names)

    entry = await asker.run(graph)

    assert entry["status"]["status_str"] == "success", entry["status"]
    [saved] = [entry["outputs"][node] for node in result_nodes(new.manifest, new.graph)]
    for file in files_of(saved):
        await judge(asker, new.manifest, file)


async def test_an_inpainted_photo_changes_where_its_mask_is_white_and_nowhere_else(asker: Asker) -> None:
    new = revision("inpaint")
    old = photo((1024, 1024))
    mask = Image.new("L", old.size, 0)
    mask.paste(255, (600, 600, 900, 900))
    names = {PHOTO: await asker.upload("old.png", old), MASK: await asker.upload("mask.png", mask)}
    given = {**said(new.manifest), "input_image": PHOTO, "mask": MASK}
    graph = place_assets(bound(new.manifest, new.graph, values.read(new.manifest, given)), names)

    [made] = await asker.pictures(graph)

    assert made.size == old.size
    assert made.crop((0, 0, 500, 1024)).tobytes() == old.crop((0, 0, 500, 1024)).tobytes()
    assert made.getpixel((750, 750)) != old.getpixel((750, 750))


async def test_a_sticker_is_transparent_around_its_figure(asker: Asker) -> None:
    new = revision("sticker")
    graph = bound(new.manifest, new.graph, values.read(new.manifest, said(new.manifest)))

    [made] = await asker.pictures(graph)

    assert made.mode == "RGBA"
    assert made.getpixel((0, 0)) == (0, 0, 0, 0)
    assert made.getchannel("A").getpixel((made.width // 2, made.height // 2)) == 255


async def test_twice_as_large_is_twice_as_wide_and_high(asker: Asker) -> None:
    new = revision("upscale")
    names = {PHOTO: await asker.upload("photo.png", photo((101, 67)))}
    used = values.read(new.manifest, {"input_image": PHOTO, "scale": 2})

    [made] = await asker.pictures(place_assets(bound(new.manifest, new.graph, used), names))

    assert made.size == (202, 134)


def said(manifest: Manifest) -> dict[str, Any]:
    """Values that make a run small, two LoRAs where they are taken, and a file for each input."""
    found: dict[str, Any] = {one.name: SMALL[one.name] for one in manifest.parameters if one.name in SMALL}
    for one in manifest.parameters:
        match one.kind:
            case Kind.ASPECT_RATIO:
                found[one.name] = "512x512"
            case Kind.LORAS:
                found[one.name] = ["simulated_detail.safetensors", "simulated_style.safetensors"]
            case Kind.IMAGE:
                found[one.name] = PHOTO
            case Kind.MASK:
                found[one.name] = MASK
            case Kind.IMAGES:
                found[one.name] = [PHOTO, PHOTO, PHOTO]
            case _:
                continue
    return found


def files_of(saved: Mapping[str, Any]) -> list[dict[str, str]]:
    listed = saved.get("images") or saved["gifs"]
    return [{part: file[part] for part in ("filename", "subfolder", "type")} for file in listed]


async def judge(asker: Asker, manifest: Manifest, file: dict[str, str]) -> None:
    """A picture opens, and a video plays as many frames as were asked for."""
    async with asker.session.get(f"{asker.base}/view", params=file) as response:
        body = await response.read()
    if manifest.timeout != "video":
        with Image.open(io.BytesIO(body)) as made:
            assert min(made.size) >= 64
        return
    with av.open(io.BytesIO(body), "r") as film:
        assert film.streams.video[0].codec_context.name == "h264"
        assert len(list(film.decode(video=0))) == SMALL["frames"]
