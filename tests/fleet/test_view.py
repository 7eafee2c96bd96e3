"""A graph that no server could run is refused in ComfyUI's words, with the names that were perhaps meant."""

import json
from typing import Any

import pytest

from atelier.fleet import service
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health
from atelier.fleet.requirements import digest_of, requirement_of
from atelier.fleet.store import catalogs, roster
from atelier.fleet.view import FleetView, NobodyCanRun
from atelier.kit.background import background
from atelier.kit.errors import Kind
from atelier.kit.ids import ServerId
from atelier.kit.wakeups import Wakeups
from support.yard import Yard

IMAGE = {
    "input": {"required": {"width": ["INT", {"min": 1, "max": 64}]}},
    "output": ["IMAGE"],
    "output_node": False,
}
SAVE = {"input": {"required": {"images": ["IMAGE", {}]}}, "output": [], "output_node": True}
UPLOAD = {
    "input": {"required": {"image": [["there.png"], {"image_upload": True}]}},
    "output": ["IMAGE"],
    "output_node": False,
}


def checkpoint(*names: str) -> dict[str, Any]:
    return {"input": {"required": {"ckpt_name": [list(names), {}]}}, "output": ["IMAGE"], "output_node": False}


def graph(class_type: str = "EmptyImage", **inputs: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": class_type, "inputs": inputs or {"width": 64}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }


def judge(view: FleetView, document: dict[str, Any], *, assets: bool = False) -> bool:
    """True when it is accepted; NobodyCanRun is raised otherwise."""
    view.judge(requirement_of(document), document, (lambda *_: True) if assets else None)
    return True


def refusal(view: FleetView, document: dict[str, Any]) -> NobodyCanRun:
    with pytest.raises(NobodyCanRun) as refused:
        judge(view, document)
    assert refused.value.kind is Kind.UNPROCESSABLE
    assert refused.value.code == "invalid_workflow"
    return refused.value


async def knows(yard: Yard, server_id: str, **classes: Any) -> None:
    """Register a server that can run these node classes."""
    await yard.server(server_id)
    async with yard.database.transaction() as tx:
        await catalogs.save_inventory(tx, ServerId(server_id), from_object_info(classes), {})


async def seen(yard: Yard) -> FleetView:
    view = FleetView(yard.database, Wakeups(yard.database))
    await view.refresh()
    return view


async def test_nothing_is_refused_while_nothing_is_known(yard: Yard) -> None:
    await yard.server()

    assert judge(await seen(yard), graph("Nonsense"))


async def test_what_some_server_can_run_is_accepted(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE)
    await knows(yard, "server-2", SaveImage=SAVE, EmptyImage=IMAGE)

    assert judge(await seen(yard), graph())


async def test_a_server_that_is_offline_still_counts_and_a_removed_one_does_not(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE, EmptyImage=IMAGE)
    await knows(yard, "server-2", SaveImage=SAVE)
    async with yard.database.transaction() as tx:
        await roster.save_health(tx, ServerId("server-1"), Health.OFFLINE, "it does not answer")
    assert judge(await seen(yard), graph())

    async with yard.database.transaction() as tx:
        await service.remove(tx, ServerId("server-1"))

    refusal(await seen(yard), graph())


async def test_a_missing_class_is_named_with_the_nearest_ones(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE, EmptyImage=IMAGE)

    refused = refusal(await seen(yard), graph("emptyimge"))

    assert refused.message == (
        "No server can run this: node class 'emptyimge' exists on none of them"
        " (did you mean EmptyImage or SaveImage?)."
    )
    assert refused.details is not None
    assert refused.details["missing_node_classes"] == {"emptyimge": ["EmptyImage", "SaveImage"]}
    assert refused.details["missing_models"] == {}
    assert refused.details["error"]["type"] == "missing_node_type"


async def test_a_missing_model_is_named_with_the_nearest_files_of_that_loader(yard: Yard) -> None:
    loader = checkpoint("sd_xl_base_1.0.safetensors", "flux.safetensors")
    await knows(yard, "server-1", SaveImage=SAVE, CheckpointLoaderSimple=loader)

    refused = refusal(await seen(yard), graph("CheckpointLoaderSimple", ckpt_name="SDXL_base_1.0.safetensors"))

    assert refused.message.startswith(
        "No server can run this: model file 'SDXL_base_1.0.safetensors' (CheckpointLoaderSimple.ckpt_name) exists"
        " on none of them (did you mean sd_xl_base_1.0.safetensors"
    )
    assert refused.details is not None
    near = refused.details["missing_models"]["SDXL_base_1.0.safetensors"]
    assert near[0] == "sd_xl_base_1.0.safetensors"
    [fault] = refused.details["node_errors"]["1"]["errors"]
    assert fault["type"] == "value_not_in_list"


async def test_of_thousands_of_missing_names_ten_are_named(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE, CheckpointLoaderSimple=checkpoint("a.safetensors"))
    document = {
        str(number): {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": f"{number}.safetensors"}}
        for number in range(3000)
    }
    document |= {f"n{number}": {"class_type": f"Odd{number}", "inputs": {}} for number in range(3)}

    refused = refusal(await seen(yard), document)

    assert refused.message.endswith("2993 more are missing.")
    assert refused.details is not None
    assert len(refused.details["missing_node_classes"]) == 3
    assert len(refused.details["missing_models"]) == 7


async def test_the_answer_to_thousands_of_faulty_nodes_stays_short(yard: Yard) -> None:
    models = [f"{number}.safetensors" for number in range(1000)]
    await knows(yard, "server-1", SaveImage=SAVE, CheckpointLoaderSimple=checkpoint(*models))
    document: dict[str, Any] = {}
    for number in range(3000):
        document[f"load{number}"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ["load0", 0]}}
        document[str(number)] = {"class_type": "SaveImage", "inputs": {"images": [f"load{number}", 0]}}

    refused = refusal(await seen(yard), document)

    assert refused.details is not None
    assert len(refused.details["node_errors"]) == 100
    assert len(json.dumps([refused.message, refused.details])) < 1_000_000


async def test_what_no_single_server_has_together_is_not_called_missing_everywhere(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE, CheckpointLoaderSimple=checkpoint("a.safetensors"))
    await knows(yard, "server-2", SaveImage=SAVE, CheckpointLoaderSimple=checkpoint("b.safetensors"))
    document = graph("CheckpointLoaderSimple", ckpt_name="a.safetensors")
    document["3"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "b.safetensors"}}
    document["4"] = {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}

    refused = refusal(await seen(yard), document)

    assert "is only on servers that lack something else" in refused.message
    assert "none of them" not in refused.message


async def test_values_that_no_able_server_takes_are_refused_in_comfyuis_words(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE, EmptyImage=IMAGE)

    refused = refusal(await seen(yard), graph(width=65))

    assert refused.message == "Prompt outputs failed validation"
    assert refused.details is not None
    assert refused.details["error"]["type"] == "prompt_outputs_failed_validation"
    [fault] = refused.details["node_errors"]["1"]["errors"]
    assert (fault["type"], fault["message"]) == ("value_bigger_than_max", "Value 65 bigger than max of 64")


async def test_a_graph_without_outputs_is_refused(yard: Yard) -> None:
    await knows(yard, "server-1", EmptyImage=IMAGE)

    refused = refusal(await seen(yard), {"1": {"class_type": "EmptyImage", "inputs": {"width": 1}}})

    assert refused.details is not None
    assert refused.details["error"]["type"] == "prompt_no_outputs"


async def test_one_server_that_takes_the_values_is_enough(yard: Yard) -> None:
    larger = {**IMAGE, "input": {"required": {"width": ["INT", {"min": 1, "max": 128}]}}}
    await knows(yard, "server-1", SaveImage=SAVE, EmptyImage=IMAGE)
    await knows(yard, "server-2", SaveImage=SAVE, EmptyImage=larger)

    assert judge(await seen(yard), graph(width=100))


async def test_files_are_placed_later_and_not_looked_for(yard: Yard) -> None:
    await knows(yard, "server-1", SaveImage=SAVE, LoadImage=UPLOAD)
    view = await seen(yard)

    assert judge(view, graph("LoadImage", image="of a job.png"))
    assert judge(view, graph("LoadImage", image={"__type": "core/ASSET", "info": {"id": "x"}}), assets=True)


async def test_equal_servers_are_known_once_and_the_view_follows_the_fleet(yard: Yard) -> None:
    view = FleetView(yard.database, wakeups := Wakeups(yard.database))
    async with background() as tasks:
        tasks.start(view.run())
        await knows(yard, "server-1", SaveImage=SAVE)
        await knows(yard, "server-2", SaveImage=SAVE)
        with wakeups.subscribe("never") as pause:
            for _ in range(100):
                wakeups.publish("fleet")
                await pause.wait(0.02)
                if len(list(view.inventories())) == 1 and len(view.servers) == 2:
                    break

    assert [server.id for server in view.servers] == ["server-1", "server-2"]
    assert len(list(view.inventories())) == 1


async def test_the_id_of_a_requirement_set_is_asked_for_once(yard: Yard) -> None:
    view = await seen(yard)
    needed = requirement_of(graph())
    first = await view.requirement_id(digest_of(needed), needed)
    await yard.run("DELETE FROM requirements")

    assert await view.requirement_id(digest_of(needed), needed) == first
