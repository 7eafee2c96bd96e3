"""What a request says becomes an order: its values, its files, its limits; and which workflow serves a purpose."""

import dataclasses
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atelier.accounts.model import Caller
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model_files import ModelFiles
from atelier.fleet.store import catalogs
from atelier.intake import choosing, quoting
from atelier.intake.asking import Asked, NoSuchCategory, Wish
from atelier.intake.generation import Generation, House, Understood, given_to
from atelier.intake.inputs import Inputs, Receipts
from atelier.intake.named_files import InvalidInput
from atelier.intake.results import Results
from atelier.jobs.outlook import Outlook
from atelier.jobs.recipe import Metadata, PictureFormat
from atelier.kit.http.outbound import Outbound
from atelier.kit.ids import AccountId, ServerId, new_uuid
from atelier.storage.opening import open_storage
from atelier.workflows import service
from atelier.workflows.model import Origin
from atelier.workflows.readiness import Readiness
from atelier.workflows.registry import Registry
from atelier.workflows.values import InvalidParameter
from support.door import Door
from support.pictures import png
from support.studio import data_uri, open_studio
from support.workshop import GRAPH, node, revision

TIMEOUTS = {"image": 100.0, "video": 400.0, "other": 300.0}
SEVERAL = {
    "1": node("ImageBatchAll", "All"),
    "2": node("SaveImage", "Save", images=["1", 0], filename_prefix="x"),
}


@pytest.fixture
async def generation(door: Door, tmp_path: Path) -> Generation:
    database = door.yard.database
    registry = Registry(database, door.wakeups)
    await open_studio(database, registry)
    storage = open_storage(str(tmp_path / "files"))
    outbound = Outbound(user_agent="test", allowed=[ipaddress.IPv4Network("127.0.0.0/8")])
    inputs = Inputs(database, storage, outbound, 1_000_000, 60.0)
    results = Results(door.intake, storage)
    return Generation(door.intake, registry, inputs, results, ModelFiles(door.view), House(TIMEOUTS))


@pytest.fixture
def caller(door: Door) -> Caller:
    return door.caller()


async def publish(generation: Generation, workflow_id: str, graph: Any = None, **changes: Any) -> None:
    async with generation.intake.database.transaction() as tx:
        await service.put(tx, revision(workflow_id, graph or GRAPH, **changes), Origin.SHIPPED)
    await generation.registry.refresh()


async def test_a_run_is_limited_by_its_manifest_only_where_its_nodes_would_say_otherwise(
    generation: Generation, caller: Caller
) -> None:
    await publish(generation, "films", timeout="video")
    boats, films = Asked("boats", params={"prompt": "x"}), Asked("films", params={"prompt": "x"})
    one_limit = dataclasses.replace(generation, house=House(None))

    drawn = [(await generation.drawn(caller, asked, Receipts())).job.run_timeout for asked in (boats, films)]

    assert drawn == [None, 400.0]
    assert (await one_limit.drawn(caller, films, Receipts())).job.run_timeout is None


async def test_deliveries_are_as_asked_else_as_the_workflow_else_as_the_house_says(
    generation: Generation, caller: Caller
) -> None:
    await publish(generation, "webp", format="webp")
    generation = dataclasses.replace(generation, house=House(None, PictureFormat.AVIF, 70, Metadata.ANONYMISE))

    async def finish(asked: Asked) -> tuple[Any, ...]:
        recipe = (await generation.drawn(caller, asked, Receipts())).job.recipe
        assert recipe is not None
        assert recipe.finish is not None
        return (recipe.finish.format, recipe.finish.quality, recipe.finish.metadata)

    params = {"prompt": "x"}
    assert await finish(Asked("boats", params=params)) == (PictureFormat.AVIF, 70, Metadata.ANONYMISE)
    assert await finish(Asked("webp", params=params)) == (PictureFormat.WEBP, 70, Metadata.ANONYMISE)
    wish = Wish(PictureFormat.PNG, 1, Metadata.KEEP)
    assert await finish(Asked("webp", params=params, wish=wish)) == (PictureFormat.PNG, 1, Metadata.KEEP)


async def test_a_named_seed_makes_a_result_that_may_be_given_again_and_a_drawn_one_does_not(
    generation: Generation, caller: Caller
) -> None:
    def asked(**params: Any) -> Asked:
        return Asked("boats", params={"prompt": "x", **params})

    keys = [
        (await generation.drawn(caller, one, Receipts())).job.recipe
        for one in (asked(seed=5), asked(seed=5), asked(seed=6), asked(seed=-1), asked())
    ]

    first, same, other, drawn, unsaid = [recipe.cache_key if recipe else None for recipe in keys]
    assert first == same != other
    assert first is not None
    assert drawn is unsaid is None


async def test_several_pictures_come_under_whatever_name_the_workflow_has_for_them(
    generation: Generation, caller: Caller
) -> None:
    images = {"pictures": {"type": "images", "min": 1, "bind": {"node": "All", "input": "image_{n}"}}}
    await publish(generation, "several", SEVERAL, parameters={}, inputs=images, examples=None)
    colors = [data_uri(png((4, 4), (shade, 0, 0))) for shade in (1, 2)]

    async def drawn(**beside: Any) -> Any:
        return (await generation.drawn(caller, Asked("several", beside=beside), Receipts())).values.params[
            "pictures"
        ]

    assert len(await drawn(input_images=colors)) == 2
    assert await drawn(input_images=colors[:1]) == await drawn(input_image=colors[0])
    with pytest.raises(InvalidInput, match="not 2"):
        await generation.understood(caller, Asked("retouch", beside={"input_image": colors, "mask": colors[0]}))


async def test_nothing_is_fetched_for_a_request_that_is_wrong_anyway(
    generation: Generation, caller: Caller
) -> None:
    receipts = Receipts()
    asked = Asked("retouch", beside={"input_image": data_uri(png())}, params={"prefix": 5})

    with pytest.raises(InvalidParameter) as refused:
        await generation.submit(caller, asked, receipts)

    assert {one["parameter"] for one in refused.value.errors} == {"prefix", "mask"}
    assert receipts.taken == []


async def test_what_is_said_twice_alike_is_said_once(generation: Generation, caller: Caller) -> None:
    workflow = await generation.registry.find(caller.account_id, "boats")

    given = given_to(
        workflow.manifest, Asked("boats", beside={"prompt": "x", "seed": None}, params={"prompt": "x"})
    )

    assert given == {"prompt": "x"}


async def test_models_are_those_that_the_fleet_has(generation: Generation, caller: Caller, door: Door) -> None:
    model = {"type": "model", "folder": "checkpoints", "bind": {"node": "Checkpoint", "input": "ckpt_name"}}
    await publish(generation, "chosen", parameters={"model": model}, examples=None)
    asked = Asked("chosen", params={"model": "sdxl.safetensor"})
    nobody_knows = await generation.understood(caller, asked)

    loader = {"input": {"required": {"ckpt_name": [["sdxl.safetensors"], {}]}}, "output": ["MODEL"]}
    await door.knows(CheckpointLoaderSimple=loader)

    assert isinstance(nobody_knows, Understood)
    with pytest.raises(InvalidParameter) as refused:
        await generation.understood(caller, asked)
    assert refused.value.errors[0]["nearest"] == ["sdxl.safetensors"]


async def test_model_files_are_counted_anew_when_the_fleet_changes(door: Door) -> None:
    files = ModelFiles(door.view)
    before = files("loras")

    inventory = from_object_info({}, {"loras": {"ink.safetensors": 5}})
    await door.knows("s1", SaveImage={"input": {}})
    async with door.yard.database.transaction() as tx:
        await catalogs.save_inventory(tx, ServerId("s1"), inventory, {})
    await door.view.refresh()

    assert (before, files("loras"), files("vae")) == (frozenset(), {"ink.safetensors"}, frozenset())


async def test_a_purpose_is_served_by_what_runs_now_before_what_does_not(
    generation: Generation, caller: Caller, door: Door
) -> None:
    for name in ("a-boat", "b-boat"):
        await publish(generation, name, category="upscale")
    choose: Callable[..., Any] = choosing.first_of
    given = (generation.registry, Readiness(), door.view, caller)

    unknown = choose(*given, "upscale").id

    assert unknown == "a-boat"
    with pytest.raises(NoSuchCategory):
        choose(*given, "video")


async def test_a_quote_tells_a_place_behind_those_that_wait_and_writes_nothing(
    generation: Generation, caller: Caller, door: Door
) -> None:
    asked = Asked("boats", params={"prompt": "x"})
    for _ in range(2):
        await generation.submit(caller, asked, Receipts())
    before = await door.written()

    told = await quoting.quote(generation, Outlook(door.view), caller, asked)

    assert (told.price, told.position, told.runnable) == (3, 2, None)
    assert await door.written() == before


async def test_what_others_keep_is_not_found(generation: Generation, caller: Caller) -> None:
    stranger = dataclasses.replace(caller, account_id=AccountId(new_uuid()))
    both = {"input_image": data_uri(png()), "mask": data_uri(png())}
    theirs = (await generation.drawn(stranger, Asked("retouch", beside=both), Receipts())).values.params

    with pytest.raises(InvalidInput, match="no asset"):
        await generation.drawn(caller, Asked("retouch", beside=theirs), Receipts())
