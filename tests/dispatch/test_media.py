"""Inputs reach the chosen server, every kind of output comes back, previews only where somebody watches."""

import io
import uuid

from PIL import Image

from atelier.assets import service as assets
from atelier.assets.model import Draft
from atelier.jobs import service as jobs
from atelier.jobs.model import Job
from atelier.kit.ids import AssetId
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator

SLOW = SimulatorConfig(control=True, step_seconds=0.1, previews=True)


def red(width: int = 24, height: int = 16) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (width, height), (255, 0, 0)).save(body, "PNG")
    return body.getvalue()


async def stored(ground: Ground, content: bytes, name: str = "red.png") -> AssetId:
    received = await assets.receive_bytes(ground.database, ground.storage, content)
    async with ground.database.transaction() as tx:
        draft = Draft(ground.caller.account_id, received.blob.content_type, file_path=name)
        return (await assets.record(tx, received, draft)).asset.id


async def content_of(ground: Ground, job: Job, place: int = 0) -> bytes:
    async with ground.database.transaction() as tx:
        asset = await assets.get(tx, ground.caller.account_id, job.outputs[place].id)
    body = await assets.stream(ground.storage, asset)
    return b"".join([chunk async for chunk in body.chunks])


def inverted(asset_id: AssetId) -> dict[str, object]:
    reference = {"__type": "core/ASSET", "info": {"id": str(asset_id)}}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": reference}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
    }


async def test_an_uploaded_input_is_placed_on_the_server_that_runs_the_job(ground: Ground) -> None:
    asset_id = await stored(ground, red())
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(inverted(asset_id))).id)

        assert job.state == "succeeded", job.error
        made = Image.open(io.BytesIO(await content_of(ground, job))).convert("RGB")
        assert (made.size, made.getpixel((3, 3))) == ((24, 16), (0, 255, 255))


async def test_an_output_is_an_input_of_the_next_job_on_any_server(ground: Ground) -> None:
    async with simulator() as first, simulator() as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        made = await ground.ended((await ground.submit(picture(255))).id)
        await ground.add_server(second, "sim-2")
        await ground.known(2)

        graph = inverted(made.outputs[0].id)
        ended = [await ground.ended((await ground.submit(graph)).id) for _ in range(3)]

        assert {job.state for job in ended} == {"succeeded"}
        shown = Image.open(io.BytesIO(await content_of(ground, ended[0]))).convert("RGB")
        assert shown.getpixel((0, 0)) == (255, 255, 0)


async def test_a_picture_that_comes_only_over_the_socket_is_an_output(ground: Ground) -> None:
    graph = picture(65280)
    graph["2"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(graph)).id)

        assert job.state == "succeeded"
        assert [(output.node_id, output.content_type) for output in job.outputs] == [("2", "image/png")]
        made = Image.open(io.BytesIO(await content_of(ground, job))).convert("RGB")
        assert made.getpixel((0, 0)) == (0, 255, 0)


async def test_progress_grows_and_is_gone_with_the_job(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=15))).id)
        seen: list[float] = []

        with ground.wakeups.subscribe(f"job:{job.id}") as woken:
            while not job.state.terminal:
                await woken.wait(0.5)
                job = await ground.read(job.id)
                if job.progress is not None:
                    seen.append(job.progress.value)

        assert len(set(seen)) >= 3
        assert seen == sorted(seen)
        assert job.progress is None


async def test_previews_exist_only_while_somebody_watches(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        unwatched = await ground.ended((await ground.submit(sampled(seed=1, steps=8))).id)
        watched = await ground.began((await ground.submit(sampled(seed=2, steps=25))).id)

        async with ground.database.transaction() as tx:
            await jobs.watch(tx, watched.id, 20)
        ground.wakeups.publish("watch")
        await ground.ended(watched.id)

        async with ground.database.transaction() as tx:
            assert await jobs.preview_after(tx, unwatched.id, 0) is None
            preview = await jobs.preview_after(tx, watched.id, 0)
        assert preview is not None
        assert preview.content_type == "image/jpeg"
        assert Image.open(io.BytesIO(preview.body)).format == "JPEG"


async def test_a_foreign_asset_is_refused_before_anything_is_written(ground: Ground) -> None:
    try:
        await ground.submit(inverted(AssetId(uuid.uuid4())))
    except assets.MissingAssets as refusal:
        missing = refusal.details
    else:
        missing = None

    assert missing is not None
    async with ground.database.transaction() as tx:
        rows = await tx.execute("SELECT count(*) FROM jobs")
        assert await rows.fetchone() == (0,)
