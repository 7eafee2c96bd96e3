"""One job, one dispatcher, simulated servers on real ports: what goes in comes out, once."""

from support.fleet import Ground, picture, sampled, simulator


async def test_a_job_runs_and_its_picture_is_stored(ground: Ground) -> None:
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(picture(255))).id)

        assert job.state == "succeeded"
        assert [output.content_type for output in job.outputs] == ["image/png"]
        assert job.outputs[0].name == "test_00001_.png"


async def test_a_sampled_picture_says_how_far_it_is(ground: Ground) -> None:
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(sampled())).id)

        assert job.state == "succeeded"
        assert job.outputs[0].size > 0
