"""Every state of a server, and what leads into it and out of it again."""

import asyncio
from typing import Any

import pytest

from atelier.fleet.machine import machine_of
from atelier.fleet.model import Health
from atelier.fleet.store import leasing, roster
from atelier.jobs.model import Job, JobState
from atelier.kit.ids import DispatcherId, ServerId, new_uuid
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator
from support.promises import eventually
from support.wards import (
    FINAL,
    SLOW,
    WARY,
    ask_probe,
    assert_one_end,
    attempts,
    events,
    fault,
    kinds,
    server,
    simulator_at,
    state,
    stopped,
    until,
)
from tools.chaos.processes import free_port


async def test_a_server_that_nobody_drives_is_unknown(ground: Ground) -> None:
    await ground.add_server("http://127.0.0.1:9", "sim-1")

    seen = await server(ground, "sim-1")

    assert (seen.health, seen.shown(0)) == (Health.UNKNOWN, Health.UNKNOWN)


async def test_a_server_that_works_is_ready_and_busy_while_it_has_jobs(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())

        seen = await until(ground, "sim-1", "ready")

        assert (seen.shown(0), seen.shown(1)) == (Health.READY, Health.BUSY)
        told = [event for event in await events(ground, "sim-1") if event[0] == "health"]
        assert told == [("health", {"from": "unknown", "to": "ready", "reason": ""})]


async def test_how_much_memory_is_free_is_known_anew_at_each_probe(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY, probe_interval=0.1).run())
        await ground.known(1)
        before = await _free_memory(ground)

        await ground.ended((await ground.submit(sampled())).id)

        async def less_is_free() -> bool:
            return await _free_memory(ground) < before

        await eventually(less_is_free)
        assert await _free_memory(ground) < before


async def _free_memory(ground: Ground) -> int:
    return machine_of((await server(ground, "sim-1")).system).vram_free


async def test_a_draining_server_ends_what_it_runs_and_takes_no_more(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        running = await ground.began((await ground.submit(sampled(steps=10))).id)
        await _set(ground, "sim-1", "drain = true")
        await asyncio.sleep(0.5)
        waiting = await ground.submit(sampled(seed=5, steps=1))

        assert (await ground.ended(running.id)).state == JobState.SUCCEEDED
        await asyncio.sleep(1.0)
        assert (await server(ground, "sim-1")).shown(0) == Health.DRAINING
        assert (await ground.read(waiting.id)).state == JobState.QUEUED
        await _set(ground, "sim-1", "drain = false")
        assert (await ground.ended(waiting.id)).state == JobState.SUCCEEDED


async def test_a_server_without_a_socket_is_degraded_and_says_why(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await fault(ground, url, fault="no_socket")
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY, poll_interval=0.2).run())

        seen = await until(ground, "sim-1", "degraded")

        assert "WebSocket" in seen.health_reason


async def test_a_server_that_does_not_answer_is_offline_and_comes_back(ground: Ground) -> None:
    port = free_port()
    async with simulator_at(port) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await until(ground, "sim-1", "ready")
        await ground.ended((await ground.submit(picture())).id)
    gone = await until(ground, "sim-1", "offline")

    async with simulator_at(port):
        await until(ground, "sim-1", "ready")

        assert "no connection" in gone.health_reason or "broke" in gone.health_reason
        assert await _is_told(ground, "sim-1", "restarted")


async def test_a_server_that_is_lost_again_and_again_is_quarantined(ground: Ground) -> None:
    port = free_port()
    dispatcher = ground.dispatcher(WARY, lost_after=0.1)
    for number in range(3):
        async with simulator_at(port) as url:
            if number == 0:
                await ground.add_server(url, "sim-1")
                ground.tasks.start(dispatcher.run())
            await until(ground, "sim-1", "ready")
        await until(ground, "sim-1", "offline")
        await asyncio.sleep(1.5)

    seen = await server(ground, "sim-1")

    assert seen.quarantined_at is not None
    assert "lost 3 times" in seen.quarantine_reason
    async with simulator_at(port):
        await until(ground, "sim-1", "ready")


@pytest.mark.parametrize(
    ("kind", "words"), [("wedge", "nothing was heard of it"), ("stall", "nothing runs")], ids=["silent", "stalled"]
)
async def test_a_queue_that_stands_still_is_seen_and_its_jobs_run_elsewhere(
    ground: Ground, kind: str, words: str
) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, first, fault=kind)
        job = await ground.submit(sampled())
        seen = await until(ground, "sim-1", "quarantined")
        await ground.add_server(second, "sim-2")

        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert words in seen.quarantine_reason
        tried = await attempts(ground, job.id)
        assert [(where, outcome) for where, outcome, _ in tried] == [("sim-1", "lost"), ("sim-2", "succeeded")]
        assert tried[0][2]["cause"] == "queue_wedged"
        await assert_one_end(ground, job.id)
        await fault(ground, first, off=True)
        await until(ground, "sim-1", "ready")
        drawn = (await state(ground, first))["drawn"]
        assert [one["prompt_id"] for one in drawn] == []
        assert [kind for kind in await kinds(ground, "sim-1") if kind in {"quarantined", "released"}] == [
            "quarantined",
            "released",
        ]


async def test_a_node_that_is_long_silent_is_no_wedge(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, url, fault="slow", delay=2.0, times=1)

        job = await ground.ended((await ground.submit(picture())).id)

        assert (job.state, job.tries) == (JobState.SUCCEEDED, 0)
        assert "quarantined" not in await kinds(ground, "sim-1")


async def test_a_silent_node_is_no_wedge_either_when_the_socket_was_lost_meanwhile(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, url, fault="slow", delay=2.5, times=1)
        job = await ground.began((await ground.submit(picture())).id)

        await fault(ground, url, fault="drop_socket")
        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        assert "quarantined" not in await kinds(ground, "sim-1")


async def test_what_was_placed_ahead_on_a_wedged_server_leaves_it_without_blame(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher(FINAL).run())
        await ground.known(1)
        await ground.ended((await ground.submit(sampled(seed=0, steps=2))).id)
        await fault(ground, first, fault="wedge")
        suspect, innocent = [await ground.submit(sampled(seed=seed, steps=2)) for seed in (1, 2)]
        await until(ground, "sim-1", "quarantined")
        await ground.add_server(second, "sim-2")

        ended = [await ground.ended(job.id) for job in (suspect, innocent)]

        assert [job.state for job in ended] == ["succeeded", "succeeded"]
        assert [job.tries for job in ended] == [1, 0]
        assert await _deaths(ground, suspect, innocent) == [1, 0]
        assert "its server was quarantined: its queue stands still" in await _reasons(ground, innocent)


async def test_a_prompt_of_somebody_else_that_does_not_end_keeps_no_job_of_ours(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY, blocked_after=0.8).run())
        await ground.known(1)
        await _post(ground, first, sampled(steps=600), "of-somebody")
        job = await ground.submit(picture())
        seen = await until(ground, "sim-1", "quarantined")
        await ground.add_server(second, "sim-2")

        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        assert "not ours" in seen.quarantine_reason
        assert list((await state(ground, first))["executions"]) == ["of-somebody"]
        await _interrupt(ground, first, "of-somebody")
        await until(ground, "sim-1", "ready")


async def test_a_cuda_fault_is_latched_until_the_server_is_started_anew(ground: Ground) -> None:
    port = free_port()
    async with simulator(SLOW) as second:
        async with simulator_at(port) as first:
            await ground.add_server(first, "sim-1")
            ground.tasks.start(ground.dispatcher(WARY).run())
            await ground.known(1)
            await fault(ground, first, fault="cuda_fault")
            job = await ground.submit(sampled())
            seen = await until(ground, "sim-1", "quarantined")
            await ground.add_server(second, "sim-2")
            assert (await ground.ended(job.id)).state == JobState.SUCCEEDED
            assert await _is_told(ground, "sim-1", "probe")
            failed = [told for kind, told in await events(ground, "sim-1") if kind == "probe"]

        async with simulator_at(port):
            await until(ground, "sim-1", "ready")

            assert "CUDA error" in seen.quarantine_reason
            assert "start ComfyUI anew" in failed[0]["reason"]
            assert (await attempts(ground, job.id))[0][2]["exception_type"] == "torch.AcceleratorError"


async def test_a_full_disk_is_known_by_its_words_and_the_job_runs_elsewhere(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, first, fault="disk_full")
        job = await ground.submit(picture())
        seen = await until(ground, "sim-1", "quarantined")
        await ground.add_server(second, "sim-2")

        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert "No space left on device" in seen.quarantine_reason
        assert (await attempts(ground, job.id))[0][2]["cause"] == "disk_full"
        await fault(ground, first, off=True)
        await until(ground, "sim-1", "ready")


async def test_a_prompt_that_hears_no_interrupt_ends_canceled_and_quarantines_its_server(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, url, fault="stuck")
        job = await ground.began((await ground.submit(sampled(steps=600))).id)

        await ground.cancel(job.id)
        ended = await ground.ended(job.id)
        seen = await until(ground, "sim-1", "quarantined")
        await fault(ground, url, off=True)
        await until(ground, "sim-1", "ready")

        assert ended.state == JobState.CANCELED
        assert "after its interrupt" in seen.quarantine_reason
        assert (await state(ground, url))["queue_remaining"] == 0
        await assert_one_end(ground, job.id)


async def test_a_quarantine_outlives_its_dispatcher(ground: Ground) -> None:
    port = free_port()
    async with simulator_at(port) as url:
        await ground.add_server(url, "sim-1")
        first = ground.dispatcher(FINAL)
        driving = ground.tasks.start(first.run())
        await ground.known(1)
        await fault(ground, url, fault="cuda_fault")
        job = await ground.submit(sampled())
        await until(ground, "sim-1", "quarantined")
        await stopped(first, driving)

        ground.tasks.start(ground.dispatcher(WARY).run())
        assert await _is_told(ground, "sim-1", "probe")

        assert (await server(ground, "sim-1")).quarantined_at is not None
        assert (await ground.read(job.id)).state == JobState.QUEUED
        assert len((await state(ground, url))["executions"]) == 1
    async with simulator_at(port):
        assert (await ground.ended(job.id)).state == JobState.SUCCEEDED


async def test_a_lease_that_is_taken_over_is_written_down(ground: Ground) -> None:
    await ground.add_server("http://127.0.0.1:9", "sim-1")
    async with ground.database.transaction() as tx:
        lost, heir = [DispatcherId(new_uuid()) for _ in range(2)]
        await leasing.beat(tx, lost, "lost", -1.0)
        await leasing.acquire(tx, lost, 1)
        await leasing.beat(tx, heir, "heir", 60.0)

        await leasing.acquire(tx, heir, 1)

    told = [told for kind, told in await events(ground, "sim-1") if kind == "taken_over"]
    assert told == [{"dispatcher": "heir", "reason": "its dispatcher was lost"}]


async def test_whoever_asks_for_a_probe_gets_it_at_once(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(FINAL).run())
        await ground.known(1)
        await fault(ground, url, fault="disk_full", times=1)
        job = await ground.submit(picture())
        await until(ground, "sim-1", "quarantined")

        await ask_probe(ground, "sim-1")
        await until(ground, "sim-1", "ready")

        assert (await ground.ended(job.id)).state == JobState.SUCCEEDED
        assert (await events(ground, "sim-1"))[-1][0] in {"released", "health"}


async def test_a_probe_of_a_server_that_seemed_well_can_find_it_ill(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(FINAL).run())
        await ground.known(1)
        await until(ground, "sim-1", "ready")
        await fault(ground, url, fault="disk_full")

        await ask_probe(ground, "sim-1")
        seen = await until(ground, "sim-1", "quarantined")

        assert "it stores no file" in seen.quarantine_reason


async def test_a_probe_of_a_server_that_works_says_so(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await until(ground, "sim-1", "ready")

        await ask_probe(ground, "sim-1")

        assert await _is_told(ground, "sim-1", "probe")
        assert (await events(ground, "sim-1"))[-1] == ("probe", {"ok": True, "reason": ""})
        assert sum((await state(ground, url))["executions"].values()) == 1


async def test_memory_that_ran_out_is_written_down_with_how_much_there_was(ground: Ground) -> None:
    async with simulator(SimulatorConfig(control=True, vram_gb=8.0)) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await asyncio.sleep(0.5)
        await fault(ground, url, fault="out_of_memory", times=1)

        job = await ground.ended((await ground.submit(sampled())).id)

        assert job.state == JobState.SUCCEEDED
        told = next(told for kind, told in await events(ground, "sim-1") if kind == "out_of_memory")
        assert (told["job"], told["attempt"], told["server"]) == (str(job.id), 1, "sim-1")
        assert told["exception_type"] == "torch.OutOfMemoryError"
        async with ground.database.transaction() as tx:
            rows = await tx.execute("SELECT avoid, vram_over FROM jobs WHERE id = %s", (job.id,))
            assert await rows.fetchone() == (["sim-1"], 8 * 1024**3)


async def test_what_happened_to_servers_is_forgotten_after_a_month_but_not_why_one_is_quarantined(
    ground: Ground,
) -> None:
    await ground.add_server("http://127.0.0.1:9", "sim-1")
    await _set(ground, "sim-1", "quarantined_at = now()")
    before = await kinds(ground, "sim-1")
    async with ground.database.transaction() as tx:
        for kind in ("health", "quarantined"):
            await roster.record(tx, ServerId("sim-1"), kind, {})
        await tx.execute("UPDATE server_events SET created_at = now() - interval '31 days'")
        await roster.record(tx, ServerId("sim-1"), "released", {})

        forgotten = await roster.forget_events(tx)

    assert forgotten == len(before) + 1
    assert await kinds(ground, "sim-1") == ["quarantined", "released"]


async def _post(ground: Ground, url: str, graph: dict[str, Any], prompt_id: str) -> None:
    async with ground.http.post(f"{url}/prompt", json={"prompt": graph, "prompt_id": prompt_id}) as reply:
        assert reply.status == 200


async def _interrupt(ground: Ground, url: str, prompt_id: str) -> None:
    async with ground.http.post(f"{url}/interrupt", json={"prompt_id": prompt_id}) as reply:
        assert reply.status == 200


async def _set(ground: Ground, server_id: str, change: str) -> None:
    async with ground.database.transaction() as tx:
        await tx.execute(f"UPDATE servers SET {change} WHERE id = %s".encode(), (server_id,))  # noqa: S608 - ours
    ground.wakeups.publish("fleet")


async def _is_told(ground: Ground, server_id: str, kind: str) -> bool:
    async with asyncio.timeout(10):
        while kind not in await kinds(ground, server_id):  # noqa: ASYNC110 - another process may write it
            await asyncio.sleep(0.05)
    return True


async def _reasons(ground: Ground, job: Job) -> list[str]:
    """Why it waited again, as its owner is told."""
    async with ground.database.transaction() as tx:
        rows = await tx.execute(
            "SELECT data->>'reason' FROM job_events WHERE job_id = %s AND kind = 'retry' ORDER BY seq", (job.id,)
        )
        return [row[0] for row in await rows.fetchall()]


async def _deaths(ground: Ground, *jobs: Job) -> list[int]:
    async with ground.database.transaction() as tx:
        rows = await tx.execute("SELECT id, server_deaths FROM jobs")
        found = dict(await rows.fetchall())
    return [found[job.id] for job in jobs]
