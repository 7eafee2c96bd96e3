"""The asynchronous client of the official Python SDK, unmodified: many things at once, with the same answers."""

import asyncio
import uuid

import pytest
from comfy_sdk import (
    AsyncComfy,
    AsyncJob,
    IdempotencyKeyReuse,
    InvalidWorkflow,
    JobFailed,
    MissingAsset,
    NotFound,
    OutputReady,
    Preview,
    Progress,
    StatusChange,
    Unauthorized,
    Workflow,
    WorkflowFormatUi,
)
from comfy_sdk.events import Event

from conformance import graphs

RED, CYAN = (255, 0, 0), (0, 255, 255)


async def together(jobs: list[AsyncJob]) -> list[list[Event]]:
    """The events of all jobs, each over a stream of its own, all open at once."""

    async def events(job: AsyncJob) -> list[Event]:
        return [event async for event in job.events()]

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(events(job)) for job in jobs]
    return [task.result() for task in tasks]


async def test_many_runs_at_once_all_give_their_own_picture(async_comfy: AsyncComfy) -> None:
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(async_comfy.run(graphs.quick(), timeout=60)) for _ in range(12)]
    jobs = [run.result() for run in runs]

    bodies = [await job.get_outputs("2")[0].to_bytes() for job in jobs]

    assert {job.status for job in jobs} == {"succeeded"}
    assert len(set(bodies)) == len(jobs)


async def test_many_streams_at_once_each_tell_their_own_job(async_comfy: AsyncComfy) -> None:
    jobs = [await async_comfy.submit(graphs.slow(10)) for _ in range(20)]

    heard = await together(jobs)

    for job, seen in zip(jobs, heard, strict=True):
        outputs = [event.output for event in seen if isinstance(event, OutputReady)]
        assert [type(event) for event in seen[-2:]] == [OutputReady, StatusChange]
        assert seen[-1] == StatusChange(status="succeeded")
        assert [output.job_id for output in outputs] == [job.id]


async def test_many_streams_of_one_job_all_hear_everything(async_comfy: AsyncComfy) -> None:
    job = await async_comfy.submit(graphs.slow())
    watchers = [await async_comfy.jobs.get(job.id) for _ in range(8)]

    heard = await together(watchers)

    for seen in heard:
        kinds = {type(event) for event in seen}
        assert kinds >= {StatusChange, Progress, Preview, OutputReady}
        assert seen[-1] == StatusChange(status="succeeded")


async def test_canceling_while_it_is_watched_ends_the_stream(async_comfy: AsyncComfy) -> None:
    job = await async_comfy.submit(graphs.endless())

    statuses: list[str] = []
    async for event in job.events():
        if isinstance(event, StatusChange):
            statuses.append(event.status)
            if event.status == "running":
                await (await async_comfy.jobs.get(job.id)).cancel()

    assert statuses[-1] == "canceled"
    with pytest.raises(JobFailed):
        await job.result()


async def test_files_go_in_come_out_and_go_in_again(async_comfy: AsyncComfy) -> None:
    asset = async_comfy.assets.from_bytes(graphs.png(RED), filename="red.png")
    first = await async_comfy.run(graphs.inverted(asset), timeout=60)
    output = await async_comfy.assets.get(first.outputs[0].id)

    second = await async_comfy.run(graphs.inverted(output), timeout=60)

    assert graphs.pixel(await first.outputs[0].to_bytes()) == CYAN
    assert graphs.pixel(await second.outputs[0].to_bytes()) == RED
    assert await second.outputs[0].to_bytes(range=(1, 3)) == b"PNG"
    assert (await asset.get_download_url()).url.endswith(f"/{asset.id}/content")
    assert (await second.get_workflow()).graph["1"]["inputs"]["image"]["info"]["id"] == first.outputs[0].id


async def test_labels_are_found_page_by_page(async_comfy: AsyncComfy) -> None:
    batch = uuid.uuid4().hex
    made = [await async_comfy.submit(graphs.quick(), metadata={"batch": batch}) for _ in range(3)]

    found = [job.id async for job in async_comfy.list_jobs(metadata={"batch": batch}, limit=1)]

    assert found == [job.id for job in reversed(made)]


async def test_of_many_with_one_key_exactly_one_is_accepted(async_comfy: AsyncComfy) -> None:
    key = uuid.uuid4().hex

    async def once() -> bool:
        try:
            await async_comfy.submit(graphs.quick(), idempotency_key=key, metadata={"key": key})
        except IdempotencyKeyReuse:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(once()) for _ in range(10)]

    assert [attempt.result() for attempt in tries].count(True) == 1
    assert len([job async for job in async_comfy.list_jobs(metadata={"key": key})]) == 1


async def test_refusals_are_the_same_exceptions(async_comfy: AsyncComfy) -> None:
    unknown = {"__type": "core/ASSET", "info": {"id": str(uuid.uuid4())}}

    with pytest.raises(InvalidWorkflow):
        await async_comfy.submit(Workflow({}))
    with pytest.raises(WorkflowFormatUi):
        await async_comfy.submit(Workflow({"nodes": [], "links": []}))
    with pytest.raises(MissingAsset):
        await async_comfy.submit(graphs.inverted(unknown))
    with pytest.raises(NotFound):
        await async_comfy.jobs.get(str(uuid.uuid4()))
    with pytest.raises(JobFailed) as caught:
        await async_comfy.run(graphs.failing(), timeout=60)
    async with AsyncComfy(api_key="atl_wrong") as nobody:
        with pytest.raises(Unauthorized):
            await nobody.submit(graphs.quick())
    assert caught.value.error is not None
    assert caught.value.error.traceback
