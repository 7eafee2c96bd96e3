"""Every failure that is not the graph's own is treated by what it is, and the job ends well where it can."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from moto.server import ThreadedMotoServer

from atelier.fleet import service as fleet
from atelier.fleet.model import Origin
from atelier.jobs.model import Job, JobState
from atelier.simulator.config import SimulatorConfig
from atelier.storage import Credentials, Storage, open_storage
from support.fleet import Ground, picture, sampled, simulator
from support.wards import (
    FINAL,
    SLOW,
    WARY,
    ask_probe,
    assert_one_end,
    attempts,
    fault,
    kinds,
    state,
    stopped,
    until,
)
from tools.chaos.fault_proxy import FaultProxy, fault_proxy

from .test_media import inverted, red, stored


async def test_a_server_that_lost_a_model_is_asked_anew_and_the_job_runs_elsewhere(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, first, fault="lose_models")

        job = await ground.submit(sampled())
        await _withdrawn(ground, job)
        waiting = await ground.read(job.id)
        await ground.add_server(second, "sim-2")
        ended = await ground.ended(job.id)

        assert (waiting.state, waiting.tries) == (JobState.QUEUED, 0)
        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        tried = await attempts(ground, job.id)
        assert [(where, outcome) for where, outcome, _ in tried] == [
            ("sim-1", "withdrawn"),
            ("sim-2", "succeeded"),
        ]
        assert tried[0][2]["reason"] == "sim-1 no longer has what it needs"
        await assert_one_end(ground, job.id)


async def test_a_graph_that_its_server_refuses_ends_with_what_the_server_says_of_the_node(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)

        job = await ground.submit(
            {
                "1": {"class_type": "LoadImage", "inputs": {"image": "nowhere.png"}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
            }
        )
        ended = await ground.ended(job.id)

        assert ended.error is not None
        assert (ended.error.code, ended.error.node_id) == ("invalid_workflow", "1")
        assert ended.error.message == (
            "Prompt outputs failed validation: node 1 (LoadImage): image - Invalid image file: nowhere.png"
        )


async def test_a_job_waits_for_a_model_that_comes_back_when_the_server_is_asked_again(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        await fault(ground, url, fault="lose_models")
        job = await ground.submit(sampled())
        await _withdrawn(ground, job)

        await fault(ground, url, off=True)
        await ask_probe(ground, "sim-1")

        assert (await ground.ended(job.id)).state == JobState.SUCCEEDED


async def test_an_input_that_a_full_disk_refuses_is_brought_to_another_server(ground: Ground) -> None:
    asset_id = await stored(ground, red())
    async with simulator(SLOW) as first, simulator(SLOW) as second:
        await ground.add_server(first, "sim-1")
        ground.tasks.start(ground.dispatcher(FINAL).run())
        await ground.known(1)
        await fault(ground, first, fault="disk_full")
        job = await ground.submit(inverted(asset_id))
        seen = await until(ground, "sim-1", "quarantined")
        await ground.add_server(second, "sim-2")

        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert "stores no file" in seen.quarantine_reason
        assert [outcome for _, outcome, _ in await attempts(ground, job.id)] == ["lost", "succeeded"]
        assert (await attempts(ground, job.id))[0][2]["cause"] == "upload_failed"


async def test_a_job_that_had_too_little_memory_goes_where_there_is_more(ground: Ground) -> None:
    small, large = SimulatorConfig(control=True, vram_gb=8.0), SimulatorConfig(control=True, vram_gb=24.0)
    async with simulator(small) as first, simulator(small) as second, simulator(large) as third:
        for name, url in {"small-1": first, "small-2": second, "large": third}.items():
            await ground.add_server(url, name)
        await _drain(ground, drain=True)
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(3)
        await fault(ground, first, fault="out_of_memory", times=1)
        job = await ground.submit(sampled())
        await _withdrawn(ground, job)
        await _drain(ground, drain=False)

        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert [where for where, _, _ in await attempts(ground, job.id)] == ["small-1", "large"]


async def test_more_memory_counts_also_where_another_dispatcher_has_it(ground: Ground) -> None:
    small = SimulatorConfig(control=True, vram_gb=8.0)
    large = SimulatorConfig(control=True, vram_gb=24.0, step_seconds=0.5)
    async with simulator(small) as first, simulator(large) as second:
        await ground.add_server(second, "large")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.began((await ground.submit(sampled(steps=12))).id)
        await ground.add_server(first, "small")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(2)
        await fault(ground, first, fault="out_of_memory", times=1)

        job = await ground.submit(sampled(seed=2, steps=1))
        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        assert [where for where, _, _ in await attempts(ground, job.id)] == ["small", "large"]


async def test_a_job_whose_gpu_fails_on_two_servers_is_poison_and_a_dead_letter(ground: Ground) -> None:
    async with simulator(SLOW) as first, simulator(SLOW) as second, simulator(SLOW) as third:
        for number, url in enumerate((first, second)):
            await ground.add_server(url, f"sim-{number}")
            await fault(ground, url, fault="cuda_fault")
        ground.tasks.start(ground.dispatcher(FINAL).run())
        await ground.known(2)

        job = await ground.submit(sampled())
        ended = await ground.ended(job.id)
        await ground.add_server(third, "sim-3")

        assert ended.error is not None
        assert ended.error.code == "poison"
        assert {where for where, _, _ in await attempts(ground, job.id)} == {"sim-0", "sim-1"}
        assert await _letters(ground) == [(job.id, "poison")]
        assert (await ground.ended((await ground.submit(sampled(seed=2))).id)).state == JobState.SUCCEEDED


async def test_simulated_servers_that_end_with_their_process_blame_nobody(ground: Ground) -> None:
    async with contextlib.AsyncExitStack() as stack:
        job: Job | None = None
        for _ in range(2):
            url = await stack.enter_async_context(simulator(SLOW))
            await _simulated(ground, url)
            driving = ground.tasks.start(ground.dispatcher(WARY).run())
            await until(ground, "sim-1", "ready")
            job = job or await ground.submit(sampled(steps=100))
            await ground.began(job.id)
            driving.cancel()
            await asyncio.wait([driving])
            await stack.aclose()
        assert job is not None
        await _simulated(ground, await stack.enter_async_context(simulator()))

        ground.tasks.start(ground.dispatcher(WARY).run())
        ended = await ground.ended(job.id)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        await assert_one_end(ground, job.id)


async def test_what_ends_while_the_storage_is_away_is_kept_and_stored_later(
    ground: Ground, tmp_path: Path
) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        with _away(tmp_path / "files"):
            job = await ground.submit(picture())
            await _executed(ground, url)
            await asyncio.sleep(1.5)
            meanwhile = await ground.read(job.id)

        ended = await ground.ended(job.id)

        assert not meanwhile.state.terminal
        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        assert list((await state(ground, url))["executions"].values()) == [1]
        await assert_one_end(ground, job.id)


async def test_what_is_kept_too_long_for_the_storage_runs_again(ground: Ground, tmp_path: Path) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY, storage_patience=0.5).run())
        await ground.known(1)
        with _away(tmp_path / "files"):
            job = await ground.submit(picture())
            async with asyncio.timeout(20):
                while (await ground.read(job.id)).tries == 0:  # noqa: ASYNC110 - read from the database
                    await asyncio.sleep(0.02)

        ended = await ground.ended(job.id)

        assert ended.state == JobState.SUCCEEDED
        first, *_ = await attempts(ground, job.id)
        assert (first[2]["cause"], first[2]["while"]) == ("storage", "storing outputs")


async def test_a_job_is_canceled_while_its_outputs_wait_for_the_storage(ground: Ground, tmp_path: Path) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        with _away(tmp_path / "files"):
            job = await ground.submit(picture())
            await _executed(ground, url)
            await asyncio.sleep(0.5)

            await ground.cancel(job.id)
            ended = await ground.ended(job.id)

        assert ended.state == JobState.CANCELED
        await assert_one_end(ground, job.id)


async def test_outputs_wait_for_a_bucket_that_is_cut_off(ground: Ground, tmp_path: Path) -> None:
    async with _bucket(ground, tmp_path / "spool") as (proxy, storage), simulator(SLOW) as url:
        ground.storage = storage
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY).run())
        await ground.known(1)
        proxy.on("cut_before", b"PUT /", times=1_000)

        job = await ground.submit(picture())
        async with asyncio.timeout(30):
            while proxy.met < 5:  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.05)
        proxy.times = 0
        ended = await ground.ended(job.id, 60)

        assert (ended.state, ended.tries) == (JobState.SUCCEEDED, 0)
        assert list((await state(ground, url))["executions"].values()) == [1]


async def test_a_stop_leaves_a_quarantine_and_its_lease_to_the_next(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        first = ground.dispatcher(WARY)
        driving = ground.tasks.start(first.run())
        await ground.known(1)
        await fault(ground, url, fault="wedge")
        job = await ground.submit(picture())
        await until(ground, "sim-1", "quarantined")

        await stopped(first, driving)
        ground.tasks.start(ground.dispatcher(WARY).run())
        await fault(ground, url, off=True)

        assert (await ground.ended(job.id)).state == JobState.SUCCEEDED
        assert (await ground.ended(job.id)).tries == 1
        assert "taken_over" not in await kinds(ground, "sim-1")
        await assert_one_end(ground, job.id)


@contextlib.contextmanager
def _away(folder: Path) -> Generator[None]:
    """A storage folder that is not mounted: a file stands in its place."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


@contextlib.asynccontextmanager
async def _bucket(ground: Ground, spool: Path) -> AsyncGenerator[tuple[FaultProxy, Storage]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint, name, secret = f"http://{host}:{port}", "AKIDTEST", "a made-up secret"
        async with fault_proxy(endpoint) as proxy:
            credentials = Credentials(endpoint, "us-east-1", name, secret)
            async with ground.http.put(f"{endpoint}/outage") as reply:
                assert reply.status == 200
            through = dataclasses.replace(credentials, endpoint=proxy.url)
            yield proxy, open_storage("s3://outage/files", through, spool=spool)
    finally:
        await asyncio.to_thread(server.stop)


async def _drain(ground: Ground, *, drain: bool) -> None:
    """All but small-1."""
    async with ground.database.transaction() as tx:
        await tx.execute("UPDATE servers SET drain = %s WHERE id <> 'small-1'", (drain,))
    ground.wakeups.publish("fleet")


async def _simulated(ground: Ground, url: str) -> None:
    async with ground.database.transaction() as tx:
        await fleet.follow_setting(tx, [fleet.Named(url, id="sim-1")], Origin.SIMULATED)
    ground.wakeups.publish("fleet")


async def _withdrawn(ground: Ground, job: Job) -> None:
    async with asyncio.timeout(20):
        while not any(outcome for _, outcome, _ in await attempts(ground, job.id)):  # noqa: ASYNC110 - read from the database
            await asyncio.sleep(0.02)


async def _executed(ground: Ground, url: str) -> None:
    async with asyncio.timeout(20):
        while not (await state(ground, url))["executions"]:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.02)


async def _letters(ground: Ground) -> list[tuple[object, str]]:
    async with ground.database.transaction() as tx:
        rows = await tx.execute("SELECT job_id, code FROM dead_letters")
        return [(row[0], row[1]) for row in await rows.fetchall()]
