from atelier.fleet.model import Origin
from atelier.fleet.store import roster
from atelier.jobs.model import JobState
from atelier.kit.ids import ServerId
from support.fleet import Ground, picture, simulator


async def test_an_address_that_nothing_can_ask_does_not_end_the_dispatcher(ground: Ground) -> None:
    async with ground.database.transaction() as tx:
        await roster.put(tx, ServerId("broken"), "http://\x8dþ\x9a", {}, Origin.ADDED)
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(picture())).id)

    assert job.state is JobState.SUCCEEDED
