"""Trouble that nobody names: lost answers, endless lists, files that never arrive; nothing waits for ever."""

import dataclasses
from pathlib import Path

from atelier.comfy.client import Timeouts
from atelier.fleet import service as fleet
from atelier.fleet.store import leasing
from atelier.jobs.model import JobState
from atelier.kit.background import background
from atelier.kit.ids import DispatcherId, ServerId, new_uuid
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator
from support.postgres import opened
from support.promises import assert_nothing_drawn_twice, assert_promises, eventually, rows
from tools.chaos.fault_proxy import before_database, fault_proxy

from .test_media import inverted, red, stored

SLOW = SimulatorConfig(control=True, step_seconds=0.05)
FAST = SimulatorConfig(control=True)


async def test_a_claim_whose_answer_was_lost_is_run(ground: Ground, database_url: str, tmp_path: Path) -> None:
    async with (
        simulator(FAST) as url,
        before_database(database_url, tmp_path) as (proxy, through_proxy),
        opened(through_proxy) as broken,
        background() as tasks,
    ):
        await ground.add_server(url, "sim-1")
        tasks.start(dataclasses.replace(ground, database=broken).dispatcher().run())
        await ground.known(1)
        proxy.on("cut_after", b"INSERT INTO attempts (job_id")

        job = await ground.ended((await ground.submit(picture())).id)

        assert proxy.met == 1
        assert job.state is JobState.SUCCEEDED
        await assert_promises(ground.database, 1)


async def test_outputs_whose_announcement_postgresql_lost_in_a_crash_are_fetched_again(
    ground: Ground, database_url: str, tmp_path: Path
) -> None:
    """The announcement does not wait for the disk, so a crash before the job's end forgets it."""
    async with (
        simulator(FAST) as url,
        before_database(database_url, tmp_path) as (proxy, through_proxy),
        opened(through_proxy) as hurt,
        background() as tasks,
    ):
        await ground.add_server(url, "sim-1")
        tasks.start(dataclasses.replace(ground, database=hurt).dispatcher().run())
        await ground.known(1)
        proxy.on("hold", b"INSERT INTO outputs (asset_id")
        job = await ground.submit(picture())
        await eventually(proxy.has_met)
        async with ground.database.transaction() as tx:
            await tx.execute("DELETE FROM blobs")

        proxy.released.set()
        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        await assert_promises(ground.database, 1)
        await assert_nothing_drawn_twice(ground.http, url)


async def test_a_list_of_nodes_that_never_comes_costs_no_job_that_runs(ground: Ground) -> None:
    async with simulator(SLOW) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher(lost_after=0.5, timeouts=Timeouts(connect=1, read=0.5)).run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=60))).id)

        proxy.on("hold", b"GET /object_info", times=100)
        async with ground.http.post(f"{real}/control/fault", json={"fault": "drop_socket"}) as reply:
            assert reply.status == 200
        await eventually(proxy.has_met)
        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        await assert_nothing_drawn_twice(ground.http, real)


async def test_an_input_that_is_cut_off_again_and_again_ends_its_job(ground: Ground) -> None:
    asset_id = await stored(ground, red())
    async with simulator(FAST) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        proxy.on("cut_before", b"POST /upload/image", times=1_000)

        job = await ground.ended((await ground.submit(inverted(asset_id))).id, 60)

        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.code == "server_lost"
        assert proxy.met <= 6
        await assert_promises(ground.database, 1, states=["failed"])


async def test_an_output_that_is_cut_off_again_and_again_is_made_again(ground: Ground) -> None:
    async with simulator(FAST) as real, fault_proxy(real) as proxy:
        await ground.add_server(proxy.url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        proxy.on("cut_before", b"GET /view", times=1_000)

        async def given_up() -> bool:
            return await rows(ground.database, "SELECT 1 FROM attempts WHERE outcome = 'lost'") != []

        job = await ground.submit(picture())
        await eventually(given_up)
        proxy.times = 0
        job = await ground.ended(job.id)

        assert (job.state, job.tries) == (JobState.SUCCEEDED, 1)
        await assert_promises(ground.database, 1)


async def test_a_server_that_refuses_connections_costs_no_try(ground: Ground) -> None:
    async with simulator(FAST) as other:
        async with simulator(FAST) as url:
            await ground.add_server(url, "sim-1")
            ground.tasks.start(ground.dispatcher().run())
            await ground.known(1)
        job = await ground.submit(picture())
        await ground.add_server(other, "sim-2")

        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)


async def test_a_removed_server_is_let_go(ground: Ground) -> None:
    async with simulator(FAST) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)

        async with ground.database.transaction() as tx:
            await fleet.remove(tx, ServerId("sim-1"))
        ground.wakeups.publish("fleet")

        async def free() -> bool:
            return await rows(ground.database, "SELECT dispatcher_id FROM leases") == [(None,)]

        await eventually(free)
        assert await free()


async def test_what_is_left_of_killed_dispatchers_is_forgotten(ground: Ground) -> None:
    async with ground.database.transaction() as tx:
        await leasing.beat(tx, DispatcherId(new_uuid()), "killed long ago", -7200)
        await leasing.beat(tx, DispatcherId(new_uuid()), "killed just now", -60)

        await leasing.forget_dispatchers(tx)

    assert await rows(ground.database, "SELECT name FROM dispatchers") == [("killed just now",)]
