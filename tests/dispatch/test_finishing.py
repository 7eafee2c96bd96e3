"""Files become what the job's recipe says before anybody has them; none is lost for its form."""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PIL import Image

from atelier.assets import service as assets
from atelier.assets.pictures import exif, marking
from atelier.jobs import service as jobs
from atelier.jobs.model import Job
from atelier.jobs.recipe import Finish, Metadata, PictureFormat, Recipe
from atelier.jobs.store import claims
from atelier.kit.database import Database
from support.fleet import Ground, picture, simulator
from support.yard import make_yard

SAID = {"workflow": "plain", "version": "1.0", "params": {"prompt": "a red lighthouse", "steps": 4}, "seed": 7}
WEBP = Finish(PictureFormat.WEBP, said=SAID)


def recipe(finish: Finish | None) -> Recipe:
    return Recipe("plain", 1, 1, "1.0", finish=finish)


async def ran(ground: Ground, graph: Mapping[str, Any], finish: Finish | None) -> Job:
    """The job on a simulated server, at its end."""
    return (await ran_all(ground, (graph, finish)))[0]


async def ran_all(ground: Ground, *asked: tuple[Mapping[str, Any], Finish | None]) -> list[Job]:
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        accepted = [await ground.submit(graph, recipe=recipe(finish)) for graph, finish in asked]
        ended = [await ground.ended(job.id, 60) for job in accepted]
    assert {job.state for job in ended} == {"succeeded"}, [job.error for job in ended]
    return ended


async def content_of(ground: Ground, job: Job, place: int = 0) -> bytes:
    async with ground.database.transaction() as tx:
        asset = await assets.get(tx, ground.caller.account_id, job.outputs[place].id)
    body = await assets.stream(ground.storage, asset)
    return b"".join([chunk async for chunk in body.chunks])


async def notes(ground: Ground, job: Job) -> list[str | None]:
    async with ground.database.transaction() as tx:
        events = await jobs.events_after(tx, ground.caller.account_id, job.id, 0)
    return [event.data.get("note") for event in events if event.kind == "output"]


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def saving(color: int, **nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """One picture, and what is done with it: node id (without its leading n) to class and inputs."""
    graph = {"1": picture(color)["1"]}
    for name, (class_type, inputs) in nodes.items():
        graph[name.removeprefix("n")] = {"class_type": class_type, "inputs": {"images": ["1", 0], **inputs}}
    return graph


async def test_a_picture_has_the_asked_format_name_type_and_words(ground: Ground) -> None:
    job = await ran(ground, picture(0xFF0000), WEBP)

    [output] = job.outputs
    content = await content_of(ground, job)
    assert (output.content_type, output.kind, output.size) == ("image/webp", "image", len(content))
    assert output.name.startswith("test_00001")
    assert output.name.endswith("_.webp")
    image = opened(content)
    red, green, blue = image.convert("RGB").resize((1, 1)).tobytes()
    assert (image.format, red > 250, max(green, blue) < 5) == ("WEBP", True, True)
    said = marking.found(image)
    assert "a red lighthouse" in exif.comment_in(said.exif)
    assert '"EmptyImage"' in exif.texts_in(said.exif)["prompt"]
    assert b"<atelier:Seed>7</atelier:Seed>" in said.xmp
    assert await notes(ground, job) == [None]


async def test_each_job_gets_its_own_format_and_one_without_any_what_its_node_saved(ground: Ground) -> None:
    formats = (PictureFormat.ORIGINAL, PictureFormat.PNG, PictureFormat.JPEG, PictureFormat.AVIF)
    asked = [(picture(0x00FF00 + number), Finish(form, said=SAID)) for number, form in enumerate(formats)]

    *finished, plain = await ran_all(ground, *asked, (picture(0x0000FF), None))

    types = [job.outputs[0].content_type for job in (*finished, plain)]
    assert types == ["image/png", "image/png", "image/jpeg", "image/avif", "image/png"]
    original, png, *_ = [await content_of(ground, job) for job in finished]
    assert set(marking.found(opened(original)).texts) == {"prompt"}
    assert "parameters" in marking.found(opened(png)).texts


async def test_words_go_where_they_are_not_wanted(ground: Ground) -> None:
    stripped, anonymous = await ran_all(
        ground,
        (picture(0x111111), Finish(metadata=Metadata.STRIP, said=SAID)),
        (picture(0x222222), Finish(PictureFormat.WEBP, metadata=Metadata.ANONYMISE, said=SAID)),
    )

    bare, brief = await content_of(ground, stripped), await content_of(ground, anonymous)
    assert b"EmptyImage" not in bare + brief
    assert b"lighthouse" not in bare + brief
    assert marking.found(opened(bare)).texts == {}
    assert exif.comment_in(marking.found(opened(brief)).exif) == "Seed: 7, Workflow: plain"


async def test_only_the_named_nodes_files_are_delivered(ground: Ground) -> None:
    graph = saving(
        1,
        n2=("SaveImage", {"filename_prefix": "wanted"}),
        n3=("SaveImage", {"filename_prefix": "aside"}),
        n4=("PreviewImage", {}),
    )

    job = await ran(ground, graph, Finish(nodes=("2",)))

    assert [output.node_id for output in job.outputs] == ["2"]
    async with ground.database.autocommit() as tx:
        rows = await tx.execute("SELECT count(*) FROM blobs")
        assert await rows.fetchone() == (1,)


async def test_where_none_of_them_saved_anything_all_that_was_saved_is_delivered(ground: Ground) -> None:
    graph = saving(
        2,
        n2=("SaveImage", {"filename_prefix": "a"}),
        n3=("SaveImageWebsocket", {}),
        n4=("PreviewImage", {}),
    )

    other, unnamed, raw = await ran_all(ground, (graph, Finish(nodes=("99",))), (graph, WEBP), (graph, None))

    assert sorted(output.node_id for output in other.outputs) == ["2", "3"]
    assert {(output.node_id, output.content_type) for output in unnamed.outputs} == {
        ("2", "image/webp"),
        ("3", "image/webp"),
    }
    assert "4" in {output.node_id for output in raw.outputs}


async def test_a_frame_of_the_socket_is_finished_like_a_file(ground: Ground) -> None:
    job = await ran(ground, saving(0x00FF00, n2=("SaveImageWebsocket", {})), Finish(PictureFormat.JPEG, said=SAID))

    [output] = job.outputs
    assert (output.name, output.content_type) == ("websocket_2_00001_.jpg", "image/jpeg")
    assert opened(await content_of(ground, job)).format == "JPEG"


async def test_what_moves_is_delivered_as_it_is(ground: Ground) -> None:
    inputs = {"filename_prefix": "a", "fps": 6.0, "lossless": False, "quality": 80, "method": "default"}
    graph = saving(3, n2=("SaveAnimatedWEBP", {**inputs, "images": ["4", 0]}))
    graph["3"] = picture(0xFF0000)["1"]
    graph["4"] = {"class_type": "ImageBatch", "inputs": {"image1": ["1", 0], "image2": ["3", 0]}}

    job = await ran(ground, graph, Finish(PictureFormat.JPEG))

    assert [output.content_type for output in job.outputs] == ["image/webp"]
    assert opened(await content_of(ground, job)).format == "WEBP"


async def test_a_picture_that_cannot_be_converted_is_delivered_as_it_is_and_says_why(ground: Ground) -> None:
    graph = picture(5, width=16_384)
    graph["1"]["inputs"]["height"] = 16

    kept, stripped = await ran_all(ground, (graph, WEBP), (graph, replace(WEBP, metadata=Metadata.STRIP)))

    for job in (kept, stripped):
        assert [output.content_type for output in job.outputs] == ["image/png"]
        assert opened(await content_of(ground, job)).size == (16_384, 16)
        [note] = await notes(ground, job)
        assert note is not None
        assert "16383" in note
    texts = [marking.found(opened(await content_of(ground, job))).texts for job in (kept, stripped)]
    assert [set(one) for one in texts] == [{"prompt"}, set()]


async def test_whoever_takes_a_job_over_knows_its_finish(database: Database) -> None:
    yard = await make_yard(database)
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, recipe=recipe(WEBP))
    plain = await yard.claimed(me)

    async with database.transaction() as tx:
        living = {one.job_id: one.finish for one in await claims.live(tx, claim.server_id, claim.fence)}

    assert claim.finish == WEBP
    assert living == {claim.job_id: WEBP, plain.job_id: None}
