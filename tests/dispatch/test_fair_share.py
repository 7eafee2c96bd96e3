"""Who shares the fleet gets its part, limits hold, and models that are loaded are used: with real dispatchers."""

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from atelier.accounts import service as accounts
from atelier.accounts.model import Caller, Role
from atelier.intake.service import Order
from atelier.jobs.model import Job
from atelier.jobs.store.waiting import TURNS
from atelier.kit.ids import AccountId, JobId, KeyId, new_uuid
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, sampled, simulator

SECONDS = 25
"""No test takes as long; it only keeps one that fails from standing still."""

QUICK_STEPS = SimulatorConfig(control=True, step_seconds=0.02)
ONE_MODEL = SimulatorConfig(control=True, vram_gb=9.0)
"""Room for either of the two checkpoints, not for both."""


@dataclass(slots=True)
class Crowd:
    """Accounts that submit to one fleet, and what the database says of what became of their jobs."""

    ground: Ground
    names: dict[AccountId, str] = field(default_factory=dict[AccountId, str])
    submitted: int = 0

    async def caller(self, name: str, *, weight: float = 1.0, max_running: int | None = None) -> Caller:
        async with self.ground.database.transaction() as tx:
            account = await accounts.create_account(tx, name)
            await accounts.set_part(tx, account, weight=weight, max_running=max_running)
        self.names[account.id] = name
        return Caller(account.id, KeyId(new_uuid()), Role.MEMBER, max_priority=10)

    async def submit(self, caller: Caller, count: int = 1, graph: Any = None, **order: Any) -> list[Job]:
        """Graphs that differ, so that no server has them in its cache, and that all take the same time."""
        jobs = list[Job]()
        for _ in range(count):
            self.submitted += 1
            wanted = graph or sampled(self.submitted, steps=8)
            jobs.append(await self.ground.intake.submit(caller, Order(wanted, "test", **order)))
        return jobs

    async def ended(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert (await self._ended(job.id)) == "succeeded"

    async def _ended(self, job_id: JobId) -> str:
        async with asyncio.timeout(SECONDS):
            while True:
                [[state]] = await self.rows("SELECT state FROM jobs WHERE id = %s", job_id)
                if state in {"succeeded", "failed", "canceled", "expired"}:
                    return str(state)
                await asyncio.sleep(0.05)

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.ground.database.autocommit() as tx:
            return await (await tx.execute(query.encode(), values)).fetchall()

    async def claimed(self) -> list[str]:
        """Whose jobs were claimed, in order."""
        rows = await self.rows(
            "SELECT j.account_id FROM attempts a JOIN jobs j ON j.id = a.job_id ORDER BY a.claimed_at, j.position"
        )
        return [self.names[AccountId(row[0])] for row in rows]

    async def by_server(self) -> Mapping[str, int]:
        rows = await self.rows("SELECT server_id, count(*) FROM attempts GROUP BY server_id")
        return {str(row[0]): int(row[1]) for row in rows}


@pytest.fixture
async def crowd(ground: Ground) -> Crowd:
    return Crowd(ground)


@pytest.fixture
async def one_server(ground: Ground) -> AsyncGenerator[str]:
    async with simulator(QUICK_STEPS) as url:
        await ground.add_server(url, "sim-1")
        yield url


@pytest.fixture
async def two_servers(ground: Ground) -> AsyncGenerator[tuple[str, str]]:
    async with simulator(QUICK_STEPS) as first, simulator(QUICK_STEPS) as second:
        await ground.add_server(first, "sim-1")
        await ground.add_server(second, "sim-2")
        yield first, second


async def known(ground: Ground, count: int) -> None:
    """Until so many servers have told what they can run; then nobody drives them any more."""
    telling = ground.tasks.start(ground.dispatcher().run())
    await ground.known(count)
    telling.cancel()
    await asyncio.wait([telling])


@pytest.mark.usefixtures("two_servers")
async def test_a_greedy_account_keeps_no_small_one_waiting(crowd: Crowd) -> None:
    await known(crowd.ground, 2)
    greedy = await crowd.caller("greedy")
    await crowd.submit(greedy, 200)
    small = [(await crowd.submit(await crowd.caller(f"small-{number}"), 5)) for number in range(3)]

    crowd.ground.tasks.start(crowd.ground.dispatcher().run())
    for jobs in small:
        await crowd.ended(jobs)

    claimed = await crowd.claimed()
    last = max(place for place, name in enumerate(claimed) if name != "greedy")
    assert claimed[: last + 1].count("greedy") <= 5 + 4  # its turns, and one more on and behind each server


@pytest.mark.usefixtures("two_servers")
async def test_who_comes_later_waits_no_longer_and_has_saved_nothing_up(crowd: Crowd) -> None:
    greedy, late = await crowd.caller("greedy"), await crowd.caller("late")
    crowd.ground.tasks.start(crowd.ground.dispatcher().run())
    await crowd.ground.known(2)
    early = await crowd.submit(greedy, 120)
    await crowd.ended(early[:20])

    await crowd.ended(await crowd.submit(late, 10))

    claimed = await crowd.claimed()
    places = [place for place, name in enumerate(claimed) if name == "late"]
    between = claimed[places[0] : places[-1]].count("greedy")
    assert 10 - 4 <= between <= 10 + 4


@pytest.mark.usefixtures("one_server")
async def test_weights_are_shares_of_the_fleet(crowd: Crowd) -> None:
    await known(crowd.ground, 1)
    heavy, light = await crowd.caller("heavy", weight=3.0), await crowd.caller("light")
    for caller in (light, heavy):
        await crowd.submit(caller, 30)

    crowd.ground.tasks.start(crowd.ground.dispatcher().run())
    async with asyncio.timeout(SECONDS):
        while len(claimed := await crowd.claimed()) < 28:  # noqa: ASYNC110 - the database is asked
            await asyncio.sleep(0.05)

    assert 21 - 4 <= claimed[:28].count("heavy") <= 21 + 4


@pytest.mark.usefixtures("one_server")
async def test_end_users_of_one_account_share_like_accounts(crowd: Crowd) -> None:
    await known(crowd.ground, 1)
    service = await crowd.caller("service")
    await crowd.submit(dataclasses.replace(service, end_user="greedy"), 30)
    small = await crowd.submit(dataclasses.replace(service, end_user="small"), 4)

    crowd.ground.tasks.start(crowd.ground.dispatcher().run())
    await crowd.ended(small)

    rows = await crowd.rows(
        "SELECT j.end_user FROM attempts a JOIN jobs j ON j.id = a.job_id ORDER BY a.claimed_at, j.position"
    )
    users = [row[0] for row in rows]
    last = max(place for place, user in enumerate(users) if user == "small")
    assert users[: last + 1].count("greedy") <= 4 + 2


@pytest.mark.usefixtures("one_server")
async def test_a_higher_class_goes_before_all_that_wait(crowd: Crowd) -> None:
    await known(crowd.ground, 1)
    crowd_caller = await crowd.caller("somebody")
    await crowd.submit(crowd_caller, 10, priority=2)
    high = await crowd.submit(crowd_caller, 3, priority=9)

    crowd.ground.tasks.start(crowd.ground.dispatcher().run())
    await crowd.ended(high)

    rows = await crowd.rows(
        "SELECT j.priority FROM attempts a JOIN jobs j ON j.id = a.job_id ORDER BY a.claimed_at"
    )
    assert [row[0] for row in rows[:3]] == [9, 9, 9]


async def test_running_limits_hold_at_every_moment_with_two_dispatchers(crowd: Crowd) -> None:
    ground, most_at_once = crowd.ground, Counter[str]()

    async def watch() -> None:
        while True:
            rows = await crowd.rows(
                "SELECT account_id, count(*) FROM jobs WHERE state IN ('claimed', 'running', 'canceling')"
                " GROUP BY account_id"
            )
            for account_id, count in rows:
                name = crowd.names[AccountId(account_id)]
                most_at_once[name] = max(most_at_once[name], count)
            most_at_once["all"] = max(most_at_once["all"], sum(count for _, count in rows))
            await asyncio.sleep(0)

    async with contextlib.AsyncExitStack() as servers:
        for number in range(4):
            url = await servers.enter_async_context(simulator(QUICK_STEPS))
            await ground.add_server(url, f"sim-{number}")
        callers = await crowd.caller("first"), await crowd.caller("second")
        single = await crowd.caller("single", max_running=1)
        jobs = [job for caller in callers for job in await crowd.submit(caller, 12)] + await crowd.submit(
            single, 5
        )
        ground.tasks.start(watch())
        for _ in range(2):
            ground.tasks.start(ground.dispatcher(max_running=3, max_running_per_account=2).run())

        await crowd.ended(jobs)

    assert most_at_once["all"] == 3
    assert max(most_at_once["first"], most_at_once["second"]) == 2
    assert most_at_once["single"] == 1
    assert len(await crowd.by_server()) > 1


@pytest.mark.usefixtures("one_server")
async def test_a_server_begins_so_many_jobs_a_minute_whoever_drives_it(crowd: Crowd) -> None:
    ground = crowd.ground
    first = ground.tasks.start(ground.dispatcher(server_jobs_per_minute=3).run())
    await ground.known(1)
    jobs = await crowd.submit(await crowd.caller("somebody"), 5)
    await crowd.ended(jobs[:3])

    first.cancel()
    await asyncio.wait([first])
    second = ground.tasks.start(ground.dispatcher(server_jobs_per_minute=3).run())
    await asyncio.sleep(1.5)  # long enough for it to take over, and to look

    assert await crowd.by_server() == {"sim-1": 3}

    second.cancel()
    await asyncio.wait([second])
    await crowd.rows("UPDATE attempts SET claimed_at = claimed_at - interval '61 s' RETURNING 1")
    ground.tasks.start(ground.dispatcher(server_jobs_per_minute=3).run())
    await crowd.ended(jobs)


@pytest.mark.usefixtures("one_server")
async def test_what_a_server_may_begin_a_minute_wins_over_the_setting(crowd: Crowd) -> None:
    ground = crowd.ground
    await crowd.rows("UPDATE servers SET max_per_minute = 0 RETURNING 1")
    ground.tasks.start(ground.dispatcher(server_jobs_per_minute=1).run())
    await ground.known(1)

    await crowd.ended(await crowd.submit(await crowd.caller("somebody"), 5))

    assert await crowd.by_server() == {"sim-1": 5}


@pytest.mark.usefixtures("two_servers")
async def test_a_canary_takes_its_part_and_no_more(crowd: Crowd) -> None:
    ground = crowd.ground
    await known(ground, 2)
    await crowd.rows("UPDATE servers SET share = 0.25 WHERE id = 'sim-2' RETURNING 1")
    jobs = await crowd.submit(await crowd.caller("somebody"), 40)
    ground.tasks.start(ground.dispatcher().run())

    await crowd.ended(jobs)

    taken = (await crowd.by_server()).get("sim-2", 0)
    assert 10 - 2 <= taken <= 10


async def test_a_canary_takes_every_job_that_nobody_else_can_run(crowd: Crowd) -> None:
    ground = crowd.ground
    async with simulator(SimulatorConfig(without_nodes=("KSampler",))) as plain, simulator() as canary:
        await ground.add_server(plain, "plain")
        await ground.add_server(canary, "canary")
        await crowd.rows("UPDATE servers SET share = 0.01 WHERE id = 'canary' RETURNING 1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(2)

        await crowd.ended(await crowd.submit(await crowd.caller("somebody"), 3, sampled(1)))

    assert await crowd.by_server() == {"canary": 3}


@pytest.mark.usefixtures("two_servers")
@pytest.mark.parametrize("change", ["drain = true", "enabled = false"])
async def test_a_server_that_is_taken_out_of_use_gets_nothing(crowd: Crowd, change: str) -> None:
    ground = crowd.ground
    await known(ground, 2)
    await crowd.rows(f"UPDATE servers SET {change} WHERE id = 'sim-1' RETURNING 1")  # noqa: S608 - of a test
    ground.tasks.start(ground.dispatcher().run())

    await crowd.ended(await crowd.submit(await crowd.caller("somebody"), 10))

    assert await crowd.by_server() == {"sim-2": 10}


async def test_models_that_are_loaded_are_used(crowd: Crowd) -> None:
    """Two checkpoints take turns in the queue; each server stays with one of them."""
    ground = crowd.ground
    async with simulator(ONE_MODEL) as one, simulator(ONE_MODEL) as two:
        await ground.add_server(one, "sim-1")
        await ground.add_server(two, "sim-2")
        await known(ground, 2)
        somebody, jobs = await crowd.caller("somebody"), list[Job]()
        for number in range(24):
            checkpoint = ("simulated_xl.safetensors", "simulated_v1.safetensors")[number % 2]
            jobs += await crowd.submit(somebody, 1, sampled(number, checkpoint=checkpoint))
        ground.tasks.start(ground.dispatcher().run())

        await crowd.ended(jobs)

        loads = 0
        for url in (one, two):
            async with ground.http.get(f"{url}/control/state") as reply:
                loads += (await reply.json())["loads"]
    assert loads <= 4


async def test_what_is_loaded_is_told_to_everybody(crowd: Crowd) -> None:
    ground = crowd.ground
    async with simulator(SimulatorConfig(load_seconds=0.2)) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        await crowd.ended(await crowd.submit(await crowd.caller("somebody"), 3, sampled(1)))

        async with asyncio.timeout(SECONDS):
            while (warm := await crowd.rows("SELECT warm, stay_until FROM servers")) == [([], None)]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    assert warm == [(["simulated_xl.safetensors"], None)]


async def test_a_job_behind_many_that_only_others_can_run_is_found(crowd: Crowd) -> None:
    ground = crowd.ground
    async with simulator(SimulatorConfig(without_nodes=("KSampler",))) as plain, simulator() as whole:
        await ground.add_server(plain, "plain")
        await ground.add_server(whole, "whole")
        await known(ground, 2)
        await crowd.rows("UPDATE servers SET drain = true WHERE id = 'whole' RETURNING 1")
        somebody = await crowd.caller("somebody")
        await crowd.submit(somebody, TURNS + 6)
        deep = await crowd.submit(somebody, 1, picture())
        ground.tasks.start(ground.dispatcher().run())

        await crowd.ended(deep)

    assert await crowd.by_server() == {"plain": 1}
