"""What goes wrong on a server: each job still ends exactly once, in the way that its failure asks for."""

import asyncio

import pytest

from atelier.fleet import service as fleet
from atelier.jobs.model import JobState
from atelier.kit.ids import JobId, ServerId
from support.fleet import Ground, picture, sampled, simulator
from support.wards import SLOW, fault, state


async def attempts(ground: Ground, job_id: JobId) -> list[tuple[int, str, str | None]]:
    async with ground.database.transaction() as tx:
        rows = await tx.execute(
            "SELECT number, server_id, outcome FROM attempts WHERE job_id = %s ORDER BY number", (job_id,)
        )
        return [(row[0], row[1], row[2]) for row in await rows.fetchall()]


async def events(ground: Ground, job_id: JobId) -> list[tuple[int, str, bool]]:
    async with ground.database.transaction() as tx:
        rows = await tx.execute(
            "SELECT seq, kind, terminal FROM job_events WHERE job_id = %s ORDER BY seq", (job_id,)
        )
        return [(row[0], row[1], row[2]) for row in await rows.fetchall()]


async def assert_one_end(ground: Ground, job_id: JobId) -> None:
    told = await events(ground, job_id)
    assert [seq for seq, _, _ in told] == list(range(1, len(told) + 1))
    assert [terminal for _, _, terminal in told].count(True) == 1
    assert told[-1][2]


async def test_a_running_job_is_canceled_on_its_server(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=200))).id)

        asked = await ground.cancel(job.id)
        ended = await ground.ended(job.id)

        assert asked.state == JobState.CANCELING
        assert ended.state == JobState.CANCELED
        assert (await state(ground, url))["queue_remaining"] == 0
        await assert_one_end(ground, job.id)


async def test_a_waiting_job_is_canceled_at_once(ground: Ground) -> None:
    job = await ground.submit(picture())

    asked = await ground.cancel(job.id)

    assert asked.state == JobState.CANCELED
    await assert_one_end(ground, job.id)


async def test_a_failed_node_fails_the_job_and_is_named(ground: Ground) -> None:
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        graph = picture() | {
            "3": {"class_type": "TestSyncError", "inputs": {"value": ["1", 0]}},
            "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
        }

        job = await ground.ended((await ground.submit(graph)).id)

        assert job.state == JobState.FAILED
        assert job.error is not None
        assert (job.error.code, job.error.node_id, job.error.class_type) == (
            "node_execution_error",
            "3",
            "TestSyncError",
        )
        assert job.error.traceback
        await assert_one_end(ground, job.id)


async def test_out_of_memory_is_tried_again_elsewhere(ground: Ground) -> None:
    async with simulator() as first, simulator() as second:
        await ground.add_server(first, "sim-1")
        await ground.add_server(second, "sim-2")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(2)
        await fault(ground, first, fault="out_of_memory", times=1)
        await fault(ground, second, fault="out_of_memory", times=1)

        job = await ground.ended((await ground.submit(sampled())).id)

        assert job.state == JobState.SUCCEEDED
        tried = await attempts(ground, job.id)
        assert next(outcome for _, _, outcome in tried) == "out_of_memory"
        assert [outcome for _, _, outcome in tried][-1] == "succeeded"
        await assert_one_end(ground, job.id)


async def test_a_job_of_a_server_that_died_runs_elsewhere(ground: Ground) -> None:
    async with simulator() as second:
        async with simulator(SLOW) as first:
            await ground.add_server(first, "sim-1")
            ground.tasks.start(ground.dispatcher().run())
            await ground.known(1)
            job = await ground.began((await ground.submit(sampled(steps=200))).id)
            await ground.add_server(second, "sim-2")
            await ground.known(2)

        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert [server for _, server, _ in await attempts(ground, job.id)] == ["sim-1", "sim-2"]
        assert ended.tries == 1
        await assert_one_end(ground, job.id)


async def test_a_prompt_that_a_server_forgot_is_run_again(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await fault(ground, url, fault="lose_history", times=1)

        job = await ground.began((await ground.submit(sampled(steps=10))).id)
        await fault(ground, url, fault="drop_socket")  # what it does not hear it must ask for
        job = await ground.ended(job.id)

        assert job.state == JobState.SUCCEEDED
        assert [outcome for _, _, outcome in await attempts(ground, job.id)] == ["lost", "succeeded"]
        await assert_one_end(ground, job.id)


async def test_an_answer_of_500_does_not_render_twice(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await fault(ground, url, fault="error_after_enqueue", times=1)

        job = await ground.ended((await ground.submit(sampled(steps=3))).id)

        assert job.state == JobState.SUCCEEDED
        assert list((await state(ground, url))["executions"].values()) == [1]


async def test_a_dropped_socket_loses_nothing(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=10))).id)

        await fault(ground, url, fault="drop_socket")
        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert ended.tries == 0
        assert list((await state(ground, url))["executions"].values()) == [1]


async def test_without_a_websocket_jobs_run_by_polling(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await fault(ground, url, fault="no_socket")
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(poll_interval=0.2).run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(sampled(steps=2))).id)

        assert job.state == JobState.SUCCEEDED
        await ground.view.refresh()
        assert [server.health for server in ground.view.servers] == ["degraded"]
        assert "polling" in ground.view.servers[0].health_reason


async def test_a_new_dispatcher_adopts_what_runs(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        first = ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=20))).id)

        first.cancel()
        await asyncio.wait([first])
        ground.tasks.start(ground.dispatcher().run())
        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert len(await attempts(ground, job.id)) == 1
        assert list((await state(ground, url))["executions"].values()) == [1]
        await assert_one_end(ground, job.id)


async def test_a_second_prompt_is_placed_ahead_and_stays_queued_for_everyone(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await ground.ended((await ground.submit(sampled(seed=0, steps=10))).id)

        running = await ground.began((await ground.submit(sampled(seed=1, steps=10))).id)
        second = await ground.submit(sampled(seed=2, steps=10))
        await asyncio.sleep(0.4)
        seen = await ground.read(second.id)

        assert (await ground.read(running.id)).state == JobState.RUNNING
        assert seen.state == JobState.CLAIMED
        assert seen.state.shown == JobState.QUEUED
        assert (await ground.ended(second.id)).state == JobState.SUCCEEDED


async def test_a_prompt_placed_ahead_is_taken_back_for_a_free_server(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        for seed in (8, 9):  # the first one loads, so that the second says how little that takes
            await ground.ended((await ground.submit(sampled(seed=seed, steps=25))).id)
        await ground.began((await ground.submit(sampled(seed=1, steps=25))).id)
        waiting = await ground.submit(sampled(seed=2, steps=25))
        await asyncio.sleep(0.4)

        await ground.add_server(second, "sim-2")
        ended = await ground.ended(waiting.id)

        assert ended.state == JobState.SUCCEEDED
        tried = await attempts(ground, waiting.id)
        assert [(server, outcome) for _, server, outcome in tried] == [
            ("sim-1", "withdrawn"),
            ("sim-2", "succeeded"),
        ]
        assert ended.tries == 0


async def test_an_overdue_run_is_interrupted_and_fails(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(run_timeout=0.5, silent_after=0.2).run())
        await ground.known(1)

        job = await ground.ended((await ground.submit(sampled(steps=300))).id)

        assert job.state == JobState.FAILED
        assert job.error is not None
        assert job.error.code == "timed_out"
        assert (await state(ground, url))["queue_remaining"] == 0


async def test_a_late_prompt_without_an_attempt_is_stopped(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.ended((await ground.submit(picture(3))).id)
        async with ground.database.transaction() as tx:
            rows = await tx.execute("SELECT prompt_id FROM attempts WHERE job_id = %s", (job.id,))
            row = await rows.fetchone()
        assert row is not None

        body = {"prompt": sampled(steps=300), "prompt_id": str(row[0]), "client_id": "late"}
        async with ground.http.post(f"{url}/prompt", json=body) as reply:
            assert reply.status == 200

        async with asyncio.timeout(20):
            while (await state(ground, url))["queue_remaining"]:  # noqa: ASYNC110 - asked over HTTP
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("count", [12])
async def test_many_jobs_on_two_servers_all_end_once(ground: Ground, count: int) -> None:
    async with simulator() as first, simulator() as second:
        await ground.add_server(first, "sim-1")
        await ground.add_server(second, "sim-2")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(2)

        jobs = [await ground.submit(picture(number)) for number in range(count)]
        ended = [await ground.ended(job.id) for job in jobs]

        assert [job.state for job in ended] == ["succeeded"] * count
        ran = (await state(ground, first))["executions"] | (await state(ground, second))["executions"]
        assert sorted(ran.values()) == [1] * count


async def test_a_higher_class_overtakes_what_was_placed_ahead(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        for seed in (8, 9):  # the first one loads, so that the second says how little that takes
            await ground.ended((await ground.submit(sampled(seed=seed, steps=25))).id)
        await ground.began((await ground.submit(sampled(seed=1, steps=25))).id)
        low = await ground.submit(sampled(seed=2, steps=25), priority=5)
        await asyncio.sleep(0.4)

        high = await ground.submit(sampled(seed=3, steps=25), priority=9)
        high, low = await ground.ended(high.id), await ground.ended(low.id)

        assert high.finished_at is not None
        assert low.finished_at is not None
        assert high.finished_at < low.finished_at
        assert [outcome for _, _, outcome in await attempts(ground, low.id)] == ["withdrawn", "succeeded"]


async def test_a_removed_server_ends_what_it_runs_and_takes_no_more(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        running = await ground.began((await ground.submit(sampled(steps=10))).id)

        async with ground.database.transaction() as tx:
            await fleet.remove(tx, ServerId("sim-1"))
        ground.wakeups.publish("fleet")
        waiting = await ground.submit(sampled(seed=5, steps=1))

        assert (await ground.ended(running.id)).state == JobState.SUCCEEDED
        await asyncio.sleep(1.0)
        assert (await ground.read(waiting.id)).state == JobState.QUEUED
