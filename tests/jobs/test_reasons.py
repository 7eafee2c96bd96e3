"""Every reason for which a job waits is told in words with names and seconds, and nothing of anybody else."""

import re

import pytest

from atelier.fleet.model import Health
from atelier.fleet.scene import Limits
from atelier.jobs.model import Cause
from atelier.kit.ids import AccountId, new_uuid
from support.site import Site
from support.yard import Yard

FLUX = "flux1-dev.safetensors"


@pytest.fixture
def site(yard: Yard) -> Site:
    return Site(yard)


def stranger() -> AccountId:
    return AccountId(new_uuid())


# Nobody can run it now -----------------------------------------------------------------------------


async def test_no_server_is_registered(site: Site) -> None:
    assert await site.why(await site.submit(FLUX)) == "waiting: no server is registered"


async def test_a_server_has_not_told_yet_what_it_has(site: Site) -> None:
    await site.silent_server("gpu-1")

    assert await site.why(await site.submit(FLUX)) == "waiting: gpu-1 has not told yet what it has"


async def test_no_dispatcher_runs(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    await yard.leave(site.me)

    assert await site.why(await site.submit(FLUX)) == "waiting for a server: no dispatcher runs"


async def test_a_server_has_no_dispatcher_while_others_have(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    await yard.leave(site.me)
    await yard.dispatcher(most=0)

    assert await site.why(await site.submit(FLUX)) == "waiting for a server: gpu-1 has no dispatcher"


async def test_a_private_server_waits_for_the_dispatcher_that_can_reach_it(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    await yard.run("UPDATE servers SET only_dispatcher = 'secret-host'")
    await yard.leave(site.me)
    await yard.dispatcher(most=0)

    reason = await site.why(await site.submit(FLUX))

    assert reason == "waiting for a server: gpu-1 is reached by one dispatcher alone, which does not run"


async def test_the_servers_that_could_are_named_with_what_keeps_each(site: Site) -> None:
    for number in range(1, 6):
        await site.server(f"gpu-{number}", FLUX)
    await site.server("gpu-9")
    await site.health("gpu-1", Health.OFFLINE, "Cannot connect to host 10.0.0.7:8188")
    await site.quarantine("gpu-2", "its queue stood still with job 4711 of somebody")
    await site.change("gpu-3", drain=True)
    await site.change("gpu-4", enabled=False)
    await site.health("gpu-5", Health.UNKNOWN)

    reason = await site.why(await site.submit(FLUX))

    assert re.sub(r"\d+ s\b", "N s", reason) == (
        f"waiting for a server with {FLUX}: gpu-1 has been offline for about N s,"
        " gpu-2 has been in quarantine for about N s, gpu-3 is draining, and 2 more"
    )


@pytest.mark.parametrize(
    ("change", "words"), [({"enabled": False}, "is disabled"), ({"drain": True}, "is draining")]
)
async def test_a_server_that_its_operator_takes_out_of_use_says_so(
    site: Site, change: dict[str, bool], words: str
) -> None:
    await site.server("gpu-1", FLUX, **change)

    assert await site.why(await site.submit(FLUX)) == f"waiting for a server: gpu-1 {words}"


async def test_a_server_that_was_never_heard_but_is_driven_says_so(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.health("gpu-1", Health.UNKNOWN)

    assert await site.why(await site.submit(FLUX)) == "waiting for a server: gpu-1 has not answered yet"


async def test_no_server_has_its_model_any_more(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2", "other.safetensors")
    job = await site.submit(FLUX)
    await site.remove("gpu-1")

    assert await site.why(job) == f"waiting: no server has {FLUX} any more"


async def test_no_server_has_all_of_its_models_any_more(site: Site) -> None:
    await site.server("gpu-1", "a.pt")
    await site.server("gpu-2", "b.pt")

    assert (
        await site.why(await site.submit("a.pt", "b.pt")) == "waiting: no server has all of a.pt and b.pt any more"
    )


# Servers are there, and busy -----------------------------------------------------------------------


async def test_the_server_that_is_free_first_is_named_with_the_time(site: Site) -> None:
    await site.server("gpu-1")
    await site.server("gpu-2", FLUX)
    await site.measured("gpu-2")
    await site.runs("gpu-2", FLUX)

    told = await site.told((await site.submit(FLUX)).id)

    assert told.reason == f"waiting for a server with {FLUX}: gpu-2 is busy for about 40 s"
    assert told.eta_seconds == pytest.approx(40, abs=5)


async def test_of_many_busy_servers_the_first_to_be_free_is_named(site: Site, yard: Yard) -> None:
    for name, seconds in (("gpu-1", 300.0), ("gpu-2", 60.0), ("gpu-3", 7200.0)):
        await site.server(name, FLUX)
        await site.measured(name, seconds=seconds)
        await site.runs(name, FLUX)

    assert await site.why(await site.submit(FLUX)) == (
        "waiting for a server: 3 servers are busy, gpu-2 for about 60 s"
    )


async def test_how_long_nobody_knows_who_never_measured_it(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.runs("gpu-1", FLUX)

    told = await site.told((await site.submit(FLUX)).id)

    assert told.reason == "waiting for a server: gpu-1 is busy, nobody knows for how long"
    assert told.eta_seconds is None


async def test_a_run_that_takes_longer_than_ever_is_still_given_some_time(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    await site.measured("gpu-1")
    await site.runs("gpu-1", FLUX)
    await yard.run("UPDATE attempts SET started_at = now() - interval '80 s'")

    assert await site.why(await site.submit(FLUX)) == "waiting for a server: gpu-1 is busy for about 20 s"


async def test_a_free_server_takes_it_next(site: Site) -> None:
    await site.server("gpu-1", FLUX)

    told = await site.told((await site.submit(FLUX)).id)

    assert (told.position, told.eta_seconds) == (0, 0.0)
    assert told.reason == "waiting for a server: gpu-1 is free and takes it next"


async def test_a_server_whose_outputs_are_still_fetched_is_free(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    await site.measured("gpu-1")
    await site.runs("gpu-1", FLUX)
    await yard.run("UPDATE attempts SET started_at = now() - interval '60 s'")
    await site.runs("gpu-1", FLUX)

    assert await site.why(await site.submit(FLUX)) == "waiting for a server: gpu-1 is busy for about 40 s"


async def test_a_busy_server_that_has_its_models_takes_it_sooner_than_a_free_one(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2", FLUX)
    await site.measured("gpu-1", "gpu-2", seconds=3.0)
    await site.warm("gpu-1", FLUX)
    await site.runs("gpu-1", FLUX)

    told = await site.told((await site.submit(FLUX)).id)

    assert told.reason == "waiting for a server: gpu-1 has its models loaded and is free in about 3 s"
    assert told.eta_seconds == pytest.approx(3, abs=1.5)


async def test_a_server_stays_with_the_models_that_it_has_just_loaded(site: Site) -> None:
    await site.server("gpu-1", FLUX, "other.pt")
    await site.measured("gpu-1")
    await site.warm("gpu-1", "other.pt", stay=30.0)
    late, next_one = await site.submit(FLUX), await site.submit("other.pt")

    told = await site.told(late.id)

    assert re.sub(r"\d+ s\b", "N s", told.reason) == (
        "waiting for a server: gpu-1 stays with the models that it has loaded for about N s;"
        " 1 job is before it (1 of yours)"
    )
    assert (await site.told(next_one.id)).eta_seconds == 0.0


async def test_a_canary_takes_only_its_part(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2", FLUX, share=0.1)
    await site.measured("gpu-1")
    await site.runs("gpu-1", FLUX)

    assert await site.why(await site.submit(FLUX)) == (
        "waiting for a server: gpu-1 is busy for about 40 s; gpu-2 takes only 10% of the jobs"
    )


async def test_only_a_server_is_left_that_failed_it_before(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2")
    await site.measured("gpu-1")
    claim = await site.runs("gpu-1", FLUX)
    await site.lose(claim)
    await site.ripen()
    await site.runs("gpu-1", FLUX)

    assert (await site.told(claim.job_id)).reason == (
        f"waiting for a server with {FLUX}: only gpu-1 is left, which failed it before;"
        " gpu-1 is busy for about 40 s"
    )


# Limits --------------------------------------------------------------------------------------------


async def test_the_account_is_at_its_running_limit(site: Site) -> None:
    site.limits = Limits(running_per_account=3)
    await site.server("gpu-9")
    for number in range(1, 5):
        await site.server(f"gpu-{number}", FLUX)
        await site.measured(f"gpu-{number}")
    for number in range(1, 4):
        await site.runs(f"gpu-{number}", FLUX)

    told = await site.told((await site.submit(FLUX)).id)

    assert told.reason == (f"waiting for a server with {FLUX}: 3 jobs of your account run already, as many as may")
    assert told.eta_seconds == pytest.approx(40, abs=5)


async def test_busy_servers_and_the_own_limit_are_both_told(site: Site, yard: Yard) -> None:
    await yard.run("UPDATE accounts SET max_running = 1")
    await site.server("gpu-1")
    await site.server("gpu-2", FLUX)
    await site.measured("gpu-2")
    await site.runs("gpu-2", FLUX)

    assert await site.why(await site.submit(FLUX)) == (
        f"waiting for a server with {FLUX}: gpu-2 is busy for about 40 s;"
        " 1 job of your account runs already, as many as may"
    )


async def test_an_end_user_is_at_the_running_limit(site: Site) -> None:
    site.limits = Limits(running_per_account=1)
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2", FLUX)
    await site.warm("gpu-2", FLUX)
    await site.runs("gpu-1", FLUX, end_user="ann")

    ann, ben = await site.submit(FLUX, end_user="ann"), await site.submit(FLUX, end_user="ben")

    assert await site.why(ann) == (
        "waiting for a server: 1 job of this end user runs already, as many as may;"
        " 1 job is before it (1 by fair share)"
    )
    assert "end user" not in await site.why(ben)


async def test_as_many_jobs_run_as_may_in_the_whole_fleet(site: Site) -> None:
    site.limits = Limits(running=1)
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2", FLUX)
    await site.measured("gpu-1")
    await site.runs("gpu-1", FLUX, account_id=stranger())

    told = await site.told((await site.submit(FLUX)).id)

    assert told.reason == "waiting for a server: as many jobs run as may in the whole fleet"
    assert told.eta_seconds == pytest.approx(40, abs=5)


async def test_a_server_has_begun_as_many_jobs_as_it_may_in_a_minute(site: Site, yard: Yard) -> None:
    site.limits = Limits(per_minute=1)
    await site.server("gpu-1", FLUX)
    claim = await site.runs("gpu-1", FLUX)
    await yard.run("UPDATE attempts SET claimed_at = now() - interval '20 s'")
    await yard.fail(claim)

    told = await site.told((await site.submit(FLUX)).id)

    assert (
        told.reason == "waiting for a server: gpu-1 has begun as many jobs as it may in a minute, one more in 40 s"
    )
    assert told.eta_seconds == pytest.approx(40, abs=5)


async def test_a_servers_own_cap_goes_before_the_common_one(site: Site, yard: Yard) -> None:
    site.limits = Limits(per_minute=1)
    await site.server("gpu-1", FLUX, max_per_minute=0)
    await yard.fail(await site.runs("gpu-1", FLUX))

    assert (await site.told((await site.submit(FLUX)).id)).eta_seconds == 0.0


# Others first --------------------------------------------------------------------------------------


async def test_jobs_before_it_are_counted_by_why_they_are_without_saying_whose(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.measured("gpu-1")
    await site.runs("gpu-1", FLUX, account_id=stranger())
    await site.submit(FLUX)
    await site.submit(FLUX, account_id=stranger())
    await site.submit(FLUX, account_id=stranger(), priority=8)
    last = await site.submit(FLUX)

    told = await site.told(last.id)

    assert told.position == 3
    assert told.reason == (
        "waiting for a server: gpu-1 is busy for about 40 s;"
        " 3 jobs are before it (1 of a higher class, 1 of yours, 1 by fair share)"
    )
    assert told.eta_seconds == pytest.approx(160, abs=10)


async def test_it_is_tried_again_after_a_while(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.server("gpu-2", FLUX)
    claim = await site.runs("gpu-1", FLUX)
    await site.lose(claim, Cause.OUT_OF_MEMORY)

    told = await site.told(claim.job_id)

    assert told.reason == (
        "waiting for a server: it is tried again in about 2 s, because the server ran out of memory (gpu-1)"
    )
    assert told.eta_seconds == pytest.approx(2, abs=1.5)


# It is on its way ----------------------------------------------------------------------------------


async def test_a_claimed_job_is_next_on_its_server(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    await site.measured("gpu-1")
    first, second = await site.submit(FLUX), await site.submit(FLUX)
    await site.claim(first)

    alone = await site.told(first.id)
    await site.claim(second)
    behind = await site.told(second.id)

    assert (alone.position, alone.eta_seconds, alone.reason) == (0, 0.0, "gpu-1 begins it now")
    assert behind.position == 0
    assert behind.eta_seconds == pytest.approx(45, abs=5)
    assert behind.reason == "next on gpu-1, which is busy for about 45 s"


async def test_behind_a_job_that_nobody_measured_a_claimed_one_has_no_time(site: Site) -> None:
    await site.server("gpu-1", FLUX)
    first, second = await site.submit(FLUX), await site.submit(FLUX)
    await site.claim(first)
    await site.claim(second)

    told = await site.told(second.id)

    assert (told.eta_seconds, told.reason) == (None, "next on gpu-1, behind another job")


async def test_a_job_that_is_being_prepared_says_so(site: Site, yard: Yard) -> None:
    job = await site.submit(FLUX)
    await yard.run("UPDATE jobs SET state = 'preparing'")

    told = await site.told(job.id)

    assert (told.position, told.eta_seconds, told.reason) == (0, None, "it is being prepared")


async def test_a_job_that_is_being_canceled_says_so(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    claim = await site.runs("gpu-1", FLUX)
    await yard.cancel(claim.job_id)

    told = await site.told(claim.job_id)

    assert (told.position, told.eta_seconds, told.reason) == (None, None, "its server was told to stop it")


async def test_a_running_and_an_ended_job_wait_for_nothing(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", FLUX)
    claim = await site.runs("gpu-1", FLUX)

    running = await site.told(claim.job_id)
    await yard.fail(claim)

    assert running == await site.told(claim.job_id)
    assert (running.position, running.eta_seconds, running.reason) == (None, None, "")
