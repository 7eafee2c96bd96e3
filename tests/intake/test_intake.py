"""Whatever comes in is accepted whole or refused before anything was written."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from atelier.assets import service as assets
from atelier.comfy import graph
from atelier.comfy.graph import InvalidWorkflow, WorkflowFormatUi
from atelier.fleet.view import NobodyCanRun
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey
from atelier.kit.ids import AccountId, AssetId, new_uuid
from support.door import Door
from support.graphs import picture, with_asset

KEY = IdempotencyKey("order-1", b"h" * 32)


async def test_an_order_becomes_a_waiting_job(door: Door) -> None:
    job = await door.submit(
        picture(),
        door.caller("mia", max_priority=8),
        metadata={"project": "sea"},
        priority=7,
        secrets={"api_key": "s"},
        idempotency=KEY,
    )

    read = await door.yard.read(job.id)
    assert read == job
    assert (read.state, read.priority, read.metadata) == ("queued", 7, {"project": "sea"})
    [row] = await door.yard.rows("SELECT end_user, dialect, secrets, shape, lane FROM jobs")
    assert row == ("mia", "test", {"api_key": "s"}, graph.shape_digest(graph.parse(picture())), "")
    [waits] = await door.yard.rows("SELECT extract(epoch FROM wait_until - created_at) FROM jobs")
    assert waits == (60,)
    async with door.yard.database.transaction() as tx:
        assert await jobs.graph(tx, door.yard.account_id, job.id) == picture()


@pytest.mark.parametrize(
    ("asked", "highest", "given", "wished"),
    [(None, 5, 5, None), (None, 3, 3, None), (9, 5, 5, 9), (9, 9, 9, None), (2, 5, 2, None), (10, 1, 1, 10)],
)
async def test_a_class_that_the_key_does_not_reach_is_lowered_and_remembered(
    door: Door, asked: int | None, highest: int, given: int, wished: int | None
) -> None:
    job = await door.submit(picture(), door.caller(max_priority=highest), priority=asked)

    assert (job.priority, job.wished_priority) == (given, wished)
    assert await door.yard.read(job.id) == job


async def test_whoever_waits_for_work_is_woken(door: Door) -> None:
    with door.wakeups.subscribe("queue") as woken:
        await door.submit(picture())

        assert await woken.wait(0)


async def test_equal_graphs_share_graph_and_requirement_set(door: Door) -> None:
    await door.submit(picture())
    await door.submit(picture())
    await door.submit(picture(color=255))

    assert await door.yard.value("SELECT count(*) FROM graphs") == 2
    assert await door.yard.value("SELECT count(DISTINCT requirement_id) FROM jobs") == 1


async def test_inputs_are_bound_to_the_job(door: Door) -> None:
    asset = await door.asset()

    job = await door.submit(with_asset(str(asset)))

    assert await door.yard.rows("SELECT job_id, asset_id FROM job_inputs") == [(job.id, asset)]


@pytest.mark.parametrize("asset_id", ["x", None, 3, str(uuid.UUID(int=1)).replace("-", "")])
async def test_an_asset_that_cannot_be_is_refused(door: Door, asset_id: object) -> None:
    with pytest.raises(assets.MissingAssets):
        await door.submit(with_asset(asset_id))

    assert await door.written() == 0


async def test_an_asset_of_somebody_else_is_missing_like_one_that_never_was(door: Door) -> None:
    foreign, never = await door.asset(AccountId(new_uuid())), AssetId(new_uuid())

    for asset_id in (foreign, never):
        with pytest.raises(assets.MissingAssets) as refused:
            await door.submit(with_asset(str(asset_id)), idempotency=KEY)
        assert refused.value.details == {"missing_ids": [str(asset_id)]}

    assert await door.written() == 0


async def test_a_graph_that_is_none_is_refused(door: Door) -> None:
    nothing: list[object] = [None, [], "x", {}, {"1": {}}, {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}}]
    for broken in nothing:
        with pytest.raises(InvalidWorkflow):
            await door.submit(broken, idempotency=KEY)
    with pytest.raises(WorkflowFormatUi):
        await door.submit({"nodes": [], "links": []}, idempotency=KEY)

    assert await door.written() == 0


async def test_a_graph_that_no_server_can_run_is_refused(door: Door) -> None:
    await door.knows(SaveImage={"input": {"required": {"images": ["IMAGE"]}}, "output_node": True})

    with pytest.raises(NobodyCanRun):
        await door.submit(picture(), idempotency=KEY)

    assert await door.written() == 0


async def test_while_no_server_is_known_everything_waits(door: Door) -> None:
    assert (await door.submit(picture())).state == "queued"


@pytest.mark.parametrize("inputs", [False, True], ids=["without inputs", "with inputs"])
async def test_a_used_key_is_refused_and_leaves_nothing(door: Door, inputs: bool) -> None:
    await door.submit(picture(), idempotency=KEY)
    before = await door.written()
    again: Mapping[str, Any] = with_asset(str(await door.asset())) if inputs else picture(color=1)

    with pytest.raises(jobs.IdempotencyKeyReused):
        await door.submit(again, idempotency=KEY)

    assert await door.written() == before


async def test_a_full_queue_is_an_answer_and_the_key_stays_free(door: Door) -> None:
    for _ in range(3):
        await door.submit(picture())
    before = await door.written()

    with pytest.raises(jobs.QueueFull) as refused:
        await door.submit(picture(), idempotency=KEY)

    assert refused.value.retry_after == 5
    assert await door.written() == before


async def test_a_large_model_makes_the_lane(door: Door) -> None:
    loads = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }

    await door.submit(loads)

    assert await door.yard.value("SELECT lane FROM jobs") == "sdxl.safetensors"
    assert await door.yard.value("SELECT body -> 'models' FROM requirements WHERE body -> 'models' <> '[]'") == [
        ["CheckpointLoaderSimple", "ckpt_name", "sdxl.safetensors"]
    ]


async def test_a_large_graph_is_judged_like_a_small_one(door: Door) -> None:
    await door.knows(EmptyImage={"input": {}, "output": ["IMAGE"]}, SaveImage={"input": {}, "output_node": True})

    accepted = await door.submit(picture(), size=5_000_000)

    assert (await door.yard.read(accepted.id)).state == "queued"
    with pytest.raises(NobodyCanRun):
        await door.submit({"1": {"class_type": "Nonsense", "inputs": {}}}, size=5_000_000)


async def test_a_graph_of_missing_assets_is_answered_in_short(door: Door) -> None:
    members = [{"__type": "core/ASSET"}] * 1000
    hostile = {"1": {"class_type": "LoadImage", "inputs": {"x" * 900_000: members}}}

    with pytest.raises(assets.MissingAssets) as refused:
        await door.submit(hostile)

    assert len(refused.value.message) < 5000
