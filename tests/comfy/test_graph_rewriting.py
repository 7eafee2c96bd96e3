import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.graph import (
    AssetReference,
    LoaderInput,
    MalformedAsset,
    assets_in,
    canonical,
    digest,
    loader_inputs,
    parse,
    place_assets,
    rewrite_prefixes,
    shape_digest,
)
from atelier.comfy.prefixes import tame
from support.comfy_graphs import picture, with_node

ASSET = "a9daa504-1ce7-4ecc-aed4-512972682f81"
OTHER = "5bcf6fbd-823a-4ba3-aed5-45cd7b0a07c7"


def asset(name: Any, **info: Any) -> dict[str, Any]:
    return {"__type": "core/ASSET", "info": {"id": name, **info}}


def sampled(**inputs: Any) -> dict[str, Any]:
    """A sampler beside a picture, with what it is given."""
    return parse({**picture(), "3": {"class_type": "KSampler", "inputs": {"latent_image": ["1", 0], **inputs}}})


def test_every_saving_node_writes_below_the_prefix() -> None:
    graph = parse(with_node("3", "SaveAudio", filename_prefix="audio/ComfyUI"))

    rewritten = rewrite_prefixes(graph, "atelier/20261121/7")

    assert rewritten["2"]["inputs"]["filename_prefix"] == "atelier/20261121/7/x"
    assert rewritten["3"]["inputs"]["filename_prefix"] == "atelier/20261121/7/audio/ComfyUI"


def test_rewriting_works_on_a_copy_and_leaves_links_alone() -> None:
    graph = parse(picture(filename_prefix=["1", 0]))
    before = copy.deepcopy(graph)

    rewritten = rewrite_prefixes(graph, "p")

    assert rewritten == before
    rewrite_prefixes(parse(picture()), "p")
    assert graph == before


@pytest.mark.parametrize(("wanted", "kept"), [(5, "p/5"), ({"__value__": "../x"}, "p/x"), (None, "p/None")])
def test_a_prefix_that_a_server_would_make_a_text_of_is_one(wanted: Any, kept: str) -> None:
    rewritten = rewrite_prefixes(parse(picture(filename_prefix=wanted)), "p")

    assert rewritten["2"]["inputs"]["filename_prefix"] == kept


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("ComfyUI", "ComfyUI"),
        ("a/b/c_%date:yyyy%", "a/b/c_%date:yyyy%"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "x"),
        ("a/./../b", "a/b"),
        ("C:\\Users\\x", "Users/x"),
        ("..\\..\\x", "x"),
        ("//host/share", "host/share"),
        ("folder/", "folder/"),
        ("", "ComfyUI"),
        ("..", "ComfyUI"),
        ("///", "ComfyUI"),
        ("line\nbreak\u202e", "line_break_"),
    ],
)
def test_a_prefix_cannot_leave_its_folder(wanted: str, kept: str) -> None:
    assert tame(wanted) == kept


@given(st.text(alphabet="./\\ C:ab~", max_size=12))
def test_no_prefix_leaves_its_folder(wanted: str) -> None:
    parts = tame(wanted).split("/")

    assert ".." not in parts
    assert parts[0]
    assert "\\" not in tame(wanted)


def test_assets_are_found_wherever_a_value_may_stand() -> None:
    deep = {"list": [1, {"more": asset(OTHER)}]}
    graph = parse(with_node("9", "LoadImage", image=asset(ASSET, hash="blake3:00", file_path="x"), options=deep))

    assert assets_in(graph) == [AssetReference(ASSET, "9.image"), AssetReference(OTHER, "9.options.list.1.more")]


def test_an_asset_is_replaced_by_the_name_that_the_server_knows() -> None:
    graph = parse(with_node("9", "LoadImage", image=asset(ASSET.upper()), options=[asset(ASSET), asset(OTHER)]))
    before = copy.deepcopy(graph)

    placed = place_assets(graph, {ASSET: "in/x.png"})

    assert placed["9"]["inputs"] == {"image": "in/x.png", "options": ["in/x.png", asset(OTHER)]}
    assert graph == before


@pytest.mark.parametrize(
    "broken",
    [{"__type": "core/ASSET"}, asset(5), asset("x.png"), {"__type": "core/ASSET", "info": []}, asset(None)],
)
def test_a_malformed_asset_is_reported_and_left_as_it_is(broken: Any) -> None:
    graph = parse(with_node("9", "LoadImage", image=broken))

    assert assets_in(graph) == [MalformedAsset("9.image")]
    assert place_assets(graph, {}) == graph


def test_loaders_show_the_files_that_they_name() -> None:
    graph = parse(
        {**with_node("9", "LoadImage", image="a.png"), "8": {"class_type": "My", "inputs": {"clip": "b.mp4"}}}
    )
    info = {"My": {"input": {"required": {"clip": [["b.mp4"], {"video_upload": True}], "n": ["INT"]}}}}

    assert loader_inputs(graph) == [LoaderInput("9", "LoadImage", "image", "a.png")]
    assert loader_inputs(graph, info)[1:] == [LoaderInput("8", "My", "clip", "b.mp4")]


def test_one_graph_has_one_text_and_one_digest() -> None:
    assert (
        canonical(parse({"1": {"class_type": "é", "inputs": {}}})) == '{"1":{"class_type":"\\u00e9","inputs":{}}}'
    )
    assert digest(parse(picture())) == digest(parse(picture()))
    assert digest(parse(picture())) != digest(parse(picture(filename_prefix="y")))
    assert len(digest(parse(picture()))) == 32


def test_prompts_seeds_and_models_do_not_change_the_shape() -> None:
    one = sampled(seed=1, steps=20, text="a cat", ckpt="a.safetensors")
    two = sampled(seed=2, steps=20, text="a dog", ckpt="b.safetensors")

    assert shape_digest(one) == shape_digest(two)


def test_sizes_links_and_classes_change_the_shape() -> None:
    base = shape_digest(sampled(steps=20))
    other = sampled(steps=20)
    other["3"]["class_type"] = "KSamplerAdvanced"

    assert shape_digest(sampled(steps=30)) != base
    assert shape_digest(sampled(steps=20, mask=["1", 1])) != base
    assert shape_digest(other) != base


def test_the_order_of_nodes_does_not_change_the_shape() -> None:
    graph = sampled(steps=20)

    assert shape_digest(dict(reversed(graph.items()))) == shape_digest(graph)
