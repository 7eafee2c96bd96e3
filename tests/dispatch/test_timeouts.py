"""How long a run may take: who says so, from when it counts, and that exactly this prompt is ended."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from atelier.dispatch.limits import kind, limit
from atelier.dispatch.model import DispatchSettings
from atelier.fleet.model import Health, Origin, Server
from atelier.jobs.model import Claim, JobState
from atelier.kit.ids import AccountId, JobId, ServerId, new_uuid
from support.fleet import Ground, picture, sampled, simulator
from support.wards import SLOW, WARY, assert_one_end, attempts, fault, state, until

SERVER = Server(ServerId("gpu-1"), "http://gpu-1:8188", {}, True, Origin.ADDED, Health.READY, "", None, None, {})
SETTINGS = DispatchSettings()


def claim(graph: dict[str, Any], run_timeout: float | None = None) -> Claim:
    return Claim(
        job_id=JobId(new_uuid()),
        account_id=AccountId(new_uuid()),
        number=1,
        prompt_id=new_uuid(),
        server_id=SERVER.id,
        fence=1,
        graph_text=json.dumps(graph),
        shape=b"",
        lane="",
        priority=5,
        secrets=None,
        requirement_id=1,
        run_timeout=run_timeout,
    )


@pytest.mark.parametrize(
    ("classes", "made"),
    [
        (["KSampler", "VAEDecode", "SaveImage"], "image"),
        (["KSampler", "PreviewImage"], "image"),
        (["ETN_SendImageWebSocket"], "image"),
        (["Image Save"], "image"),
        (["easy imageSave"], "image"),
        (["KSampler", "VAEDecode", "SaveImage", "SaveWEBM", "CreateVideo"], "video"),
        (["VHS_VideoCombine"], "video"),
        (["WanImageToVideo", "SaveAnimatedWEBP"], "video"),
        (["VAEDecodeAudio", "SaveAudio"], "other"),
        (["LoadImage", "SaveGLB"], "other"),
        (["PreviewAny"], "other"),
        ([], "other"),
    ],
)
def test_what_a_graph_makes_is_told_by_its_nodes(classes: list[str], made: str) -> None:
    assert kind(classes) == made


@pytest.mark.parametrize(
    ("of_job", "of_server", "of_all", "words"),
    [
        (7.0, 20.0, 30.0, "7 s that this job may take"),
        (None, 20.0, 30.0, "20 s that a run on gpu-1 may take"),
        (None, None, 30.0, "30 s that any run may take"),
        (None, None, None, "200 s that a run that makes images may take"),
    ],
)
def test_the_nearest_word_goes_first(
    of_job: float | None, of_server: float | None, of_all: float | None, words: str
) -> None:
    server = dataclasses.replace(SERVER, run_timeout=of_server)
    settings = dataclasses.replace(SETTINGS, run_timeout=of_all)

    found = limit(claim(picture(), of_job), picture(), server, settings)

    assert found.words == words


async def test_an_overdue_run_fails_with_its_limit_in_words_and_nothing_else_is_stopped(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY, run_timeouts={"image": 0.5, "video": 9, "other": 9}).run())
        await ground.known(1)
        stranger = sampled(seed=9, steps=3)

        job = await ground.began((await ground.submit(sampled(steps=300))).id)
        async with ground.http.post(
            f"{url}/prompt", json={"prompt": stranger, "prompt_id": "of-somebody"}
        ) as reply:
            assert reply.status == 200
        ended = await ground.ended(job.id)

        assert ended.state == JobState.FAILED
        assert ended.error is not None
        assert ended.error.code == "timed_out"
        assert "the 0.5 s that a run that makes images may take" in ended.error.message
        [(_, outcome, evidence)] = await attempts(ground, job.id)
        assert (outcome, evidence["limit"], evidence["server"]) == ("timed_out", 0.5, "sim-1")
        assert await _status(ground, url, "of-somebody") == "success"
        await assert_one_end(ground, job.id)


async def test_a_run_that_was_adopted_goes_on_with_its_old_start(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        first = ground.tasks.start(ground.dispatcher(WARY, run_timeout=600.0).run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=600))).id)
        first.cancel()
        await asyncio.wait([first])
        async with ground.database.transaction() as tx:
            await tx.execute("UPDATE attempts SET started_at = started_at - interval '1 hour'")

        ground.tasks.start(ground.dispatcher(WARY, run_timeout=600.0).run())
        ended = await ground.ended(job.id)

        assert ended.error is not None
        assert ended.error.code == "timed_out"
        assert len(await attempts(ground, job.id)) == 1


async def test_a_run_that_cannot_be_ended_has_timed_out_all_the_same(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher(WARY, run_timeout=0.5).run())
        await ground.known(1)
        await fault(ground, url, fault="stuck")

        ended = await ground.ended((await ground.submit(sampled(steps=600))).id)
        seen = await until(ground, "sim-1", "quarantined")
        await fault(ground, url, off=True)
        await until(ground, "sim-1", "ready")

        assert ended.error is not None
        assert ended.error.code == "timed_out"
        assert "after its interrupt" in seen.quarantine_reason
        assert (await state(ground, url))["queue_remaining"] == 0


async def _status(ground: Ground, url: str, prompt_id: str) -> str:
    async with asyncio.timeout(10):
        while True:
            async with ground.http.get(f"{url}/history/{prompt_id}") as reply:
                shown = await reply.json()
            if prompt_id in shown:
                return str(shown[prompt_id]["status"]["status_str"])
            await asyncio.sleep(0.05)
