"""Equal servers have equal inventories, whatever was uploaded to them."""

import math
from typing import Any

import pytest

from atelier.fleet.inventory import Inventory, from_object_info
from atelier.fleet.model import ModelRef, Requirement
from atelier.fleet.requirements import missing
from atelier.fleet.store import catalogs, roster
from atelier.kit.ids import ServerId
from support.yard import Yard

CLASSIC = [["a.safetensors", "b.safetensors"], {"tooltip": "The checkpoint."}]
MODERN = ["COMBO", {"options": ["a.safetensors", "b.safetensors"]}]


def node(**inputs: Any) -> dict[str, Any]:
    return {
        "input": {"required": inputs, "hidden": {"prompt": "PROMPT"}},
        "output": ["IMAGE"],
        "output_node": False,
    }


def inventory(**classes: Any) -> Inventory:
    return from_object_info(classes)


def test_equal_servers_share_a_digest_whatever_the_order() -> None:
    first = inventory(A=node(x=["INT", {}], y=CLASSIC), B=node())
    second = inventory(B=node(), A=node(y=CLASSIC, x=["INT", {}]))

    assert first.digest == second.digest


def test_another_model_is_another_inventory() -> None:
    assert inventory(A=node(x=[["a"], {}])).digest != inventory(A=node(x=[["b"], {}])).digest


def test_files_are_part_of_an_inventory_and_equal_ones_are_one_value() -> None:
    classes = {"A": node(x=["INT", {}])}
    bare, filled = from_object_info(classes), from_object_info(classes, {"loras": {"a.pt": 5, "b.pt": 0}})

    assert bare.digest != filled.digest
    assert from_object_info(dict(classes), {"loras": {"b.pt": 0, "a.pt": 5}}) is filled
    assert filled.sizes == {"a.pt": 5}


def classic_upload(files: list[str]) -> list[Any]:
    return [files, {"image_upload": True}]


def modern_upload(files: list[str]) -> list[Any]:
    return ["COMBO", {"options": files, "image_upload": True}]


@pytest.mark.parametrize("spell", [classic_upload, modern_upload])
def test_uploads_change_nothing(spell: Any) -> None:
    few, many = (inventory(LoadImage=node(image=spell(files), channel=[["red"]])) for files in ([], ["a.png"]))

    assert few.digest == many.digest
    assert few.classes == many.classes
    assert many.options("LoadImage", "image") is None
    assert many.options("LoadImage", "channel") == frozenset({"red"})


@pytest.mark.parametrize("spec", [CLASSIC, MODERN], ids=["classic", "modern"])
def test_both_spellings_of_a_choice_are_read(spec: list[Any]) -> None:
    have = inventory(CheckpointLoaderSimple=node(ckpt_name=spec))

    assert have.options("CheckpointLoaderSimple", "ckpt_name") == frozenset({"a.safetensors", "b.safetensors"})
    assert have.checkpoints() == ["a.safetensors", "b.safetensors"]


def test_what_is_free_or_unknown_has_no_choices() -> None:
    have = inventory(A=node(text=["STRING", {}], odd=None, remote=["COMBO", {"remote": {"route": "/x"}}]))

    assert [have.options("A", name) for name in ("text", "odd", "remote", "none")] == [None] * 4
    assert have.options("B", "x") is None
    assert have.checkpoints() == []


@pytest.mark.parametrize(
    "entry", [None, [], "x", {"input": None}, {"input": {"required": []}}, {"input": {"required": {"x": 3}}}]
)
def test_a_broken_entry_is_no_accident(entry: Any) -> None:
    assert inventory(A=entry, B=node()).options("A", "x") is None


def test_a_model_is_missing_where_the_list_lacks_it() -> None:
    have = inventory(CheckpointLoaderSimple=node(ckpt_name=CLASSIC), Other=node(file=["STRING", {}]))
    there = ModelRef("CheckpointLoaderSimple", "ckpt_name", "a.safetensors")
    gone = ModelRef("CheckpointLoaderSimple", "ckpt_name", "c.safetensors")
    free = ModelRef("Other", "file", "c.safetensors")
    classless = ModelRef("Nowhere", "file", "c.safetensors")

    lacks = missing(have, Requirement(frozenset({"Other", "Nowhere"}), frozenset({there, gone, free, classless})))

    assert lacks.models == {gone}
    assert lacks.classes == {"Nowhere"}


async def test_an_inventory_is_stored_once_and_read_back(yard: Yard) -> None:
    have = from_object_info({"CheckpointLoaderSimple": node(ckpt_name=CLASSIC)}, {"loras": {"a.pt": 5}})
    for name in ("server-1", "server-2"):
        await yard.server(name)
        async with yard.database.transaction() as tx:
            await catalogs.save_inventory(tx, ServerId(name), have, {"system": {"os": "posix"}})

    async with yard.database.transaction() as tx:
        [read] = await catalogs.inventories(tx, [have.digest])
        servers = await roster.servers(tx)

    assert read == have
    assert from_object_info(read.classes, read.files).digest == have.digest
    assert [server.inventory_digest for server in servers] == [have.digest] * 2
    assert servers[0].system == {"system": {"os": "posix"}}
    assert await yard.value("SELECT count(*) FROM inventories") == 1


async def test_what_custom_nodes_write_although_json_has_no_such_thing_can_be_stored(yard: Yard) -> None:
    bounds = ["FLOAT", {"min": -math.inf, "max": math.inf, "default": math.nan}]
    have = inventory(A=node(x=bounds, y=[["a\0b", "\ud800"], {"tooltip": "\N{GRINNING FACE}"}]))
    await yard.server()

    async with yard.database.transaction() as tx:
        await catalogs.save_inventory(tx, ServerId("server-1"), have, {})
        [read] = await catalogs.inventories(tx, [have.digest])

    assert read.classes == have.classes
    assert have.classes["A"]["input"]["required"]["y"] == [["ab", "?"], {"tooltip": "\N{GRINNING FACE}"}]
    assert have.classes["A"]["input"]["required"]["x"][1]["max"] == 1e18
