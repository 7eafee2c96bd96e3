"""The official Python SDK, unmodified, against the served app; the test plays the dispatcher."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from comfy_sdk import (
    AsyncComfy,
    IdempotencyKeyReuse,
    InvalidWorkflow,
    JobFailed,
    JobSummary,
    MissingAsset,
    NotFound,
    OutputReady,
    Progress,
    StatusChange,
    Unauthorized,
    Workflow,
    WorkflowFormatUi,
)

from atelier.kit.ids import JobId, new_uuid, parse_uuid
from support.graphs import picture, with_asset
from support.serving import Tenant, eventually
from support.stage import Stage


@pytest.fixture
async def sdk(base: str, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[AsyncComfy]:
    monkeypatch.setenv("COMFY_BASE_URL", base)
    comfy = AsyncComfy(api_key=tenant.key)
    yield comfy
    await comfy.aclose()


def job_id(job: Any) -> JobId:
    value = parse_uuid(job.id)
    assert value is not None
    return JobId(value)


def workflow(graph: dict[str, Any]) -> Workflow:
    return Workflow(graph)


async def test_run_gives_the_picture(sdk: AsyncComfy, stage: Stage) -> None:
    listed: list[JobSummary] = []

    async def is_listed() -> bool:
        listed[:] = [job async for job in sdk.list_jobs()]
        return bool(listed)

    async def play() -> None:
        await eventually(is_listed)
        await stage.succeed(await stage.start(job_id(listed[0])), [b"the picture"])

    async with asyncio.TaskGroup() as group:
        group.create_task(play())
        job = await sdk.run(workflow(picture()))

    assert job.status == "succeeded"
    assert await job.outputs[0].to_bytes() == b"the picture"


async def test_submit_and_events_see_everything_in_order(sdk: AsyncComfy, stage: Stage) -> None:
    job = await sdk.submit(workflow(picture()))
    seen: list[object] = []

    async for event in job.events():
        seen.append(event)
        match event:
            case StatusChange(status="queued"):
                claim = await stage.start(job_id(job))
            case StatusChange(status="running"):
                await stage.progress(claim, 0.5)
            case Progress():
                await stage.succeed(claim, [b"one"])
            case _:
                pass

    assert [type(event) for event in seen] == [StatusChange, StatusChange, Progress, OutputReady, StatusChange]


async def test_a_failed_and_a_canceled_run_raise(sdk: AsyncComfy, stage: Stage) -> None:
    failed, canceled = await sdk.submit(workflow(picture())), await sdk.submit(workflow(picture()))
    await stage.fail(await stage.start(job_id(failed)))
    await canceled.cancel()

    assert canceled.status == "canceled"
    for job in (failed, canceled):
        with pytest.raises(JobFailed):
            await job.result()


async def test_an_asset_goes_in_once_and_is_read_back(sdk: AsyncComfy) -> None:
    first = sdk.assets.from_bytes(b"input" * 1000, filename="in put ü.png")
    second = sdk.assets.from_bytes(b"input" * 1000, filename="other.png")

    await first.commit()
    await second.commit()
    url = await first.get_download_url()

    assert first.id != second.id
    assert first.hash == second.hash
    assert url.url.endswith(f"/api/v2/assets/{first.id}/content")
    assert (await sdk.assets.get(str(first.id))).file_path == "in put ü.png"


async def test_an_asset_handle_in_a_graph_is_committed_and_found(sdk: AsyncComfy) -> None:
    asset = sdk.assets.from_bytes(b"input", filename="input.png")
    graph = picture()
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": asset}}

    job = await sdk.submit(workflow(graph))

    sent = (await job.get_workflow()).graph["1"]["inputs"]["image"]
    assert sent["info"]["id"] == asset.id


async def test_labels_are_kept_and_found(sdk: AsyncComfy) -> None:
    job = await sdk.submit(workflow(picture()), metadata={"client": "acme"})
    await sdk.submit(workflow(picture()))

    found = [one async for one in sdk.list_jobs(metadata={"client": "acme"}, limit=1)]

    assert job.metadata == {"client": "acme"}
    assert [one.id for one in found] == [job.id]
    assert found[0].create_time is not None


async def test_refusals_are_the_sdks_own_exceptions(sdk: AsyncComfy, base: str) -> None:
    await sdk.submit(workflow(picture()), idempotency_key="once")

    with pytest.raises(IdempotencyKeyReuse):
        await sdk.submit(workflow(picture()), idempotency_key="once")
    with pytest.raises(MissingAsset):
        await sdk.submit(workflow(with_asset(str(new_uuid()))))
    with pytest.raises(WorkflowFormatUi):
        await sdk.submit(workflow({"nodes": [], "links": []}))
    with pytest.raises(InvalidWorkflow):
        await sdk.submit(workflow({}))
    with pytest.raises(NotFound):
        await sdk.jobs.get(str(new_uuid()))
    with pytest.raises(NotFound):
        await sdk.assets.delete(str(new_uuid()))
    stranger = AsyncComfy(api_key="atl_wrong")
    with pytest.raises(Unauthorized) as caught:
        await stranger.jobs.get(str(new_uuid()))
    await stranger.aclose()
    assert caught.value.request_id
