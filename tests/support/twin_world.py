"""The small world of two dispatchers in which jobs that would make the same meet, and what is true of them."""

import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, cast

from atelier.fleet.view import FleetView
from atelier.intake.results import Policy, Results
from atelier.intake.service import Intake
from atelier.jobs import cached as twins
from atelier.jobs import service
from atelier.jobs.model import TERMINAL, Claim, JobState, Limits, NewJob
from atelier.jobs.store import attempts, cached, claims
from atelier.kit.database import Database, Tx
from atelier.kit.ids import JobId
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage
from support.acts import MOST_JOBS, Acts, Process, heads_of, wishes_of
from support.interleaving import Lane, Tape
from support.twins import FOREST, SUNSET, recipe
from support.world import Act, World, lanes_on, requirement_in
from support.yard import made, new_job

KEYS = (SUNSET, FOREST)
PART = 1.0
"""A twin costs as much as a run, so that one judge looks at all holds."""

_TWINS = """
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'id', j.id, 'state', j.state, 'key', encode(r.cache_key, 'hex'), 'leader', r.leader_id, 'cached', r.cached,
    'outputs', (SELECT count(*) FROM outputs o WHERE o.job_id = j.id))), '[]')::text
FROM jobs j JOIN job_recipes r ON r.job_id = j.id
"""

_GOING_ON = frozenset({JobState.QUEUED, JobState.CLAIMED, JobState.RUNNING})


def check_twins(many: list[dict[str, Any]]) -> None:
    """What is true of twins at any moment."""
    leading = Counter(one["key"] for one in many if JobState(one["state"]) in _GOING_ON and one["key"])
    for key, leaders in leading.items():
        assert leaders <= 1, f"{leaders} jobs of the key {key[:6]} run"
    for one in many:
        waits = one["state"] == JobState.PREPARING
        assert not waits or one["leader"] is not None, "a twin waits for nobody"
        assert waits or JobState(one["state"]) in TERMINAL or one["leader"] is None, "who runs waits for somebody"
        assert not one["cached"] or one["outputs"] > 0, "an answer without files"
        assert not one["cached"] or one["state"] == "succeeded"


class TwinActs(Acts):
    """Whatever is submitted has a key. A run that succeeds makes one file, or none."""

    results: Results

    async def begin(self, limits: Limits) -> None:
        """As in the other world; the third job waits for the first, the fourth, an overdue one, for the second."""
        self._accepted = 0
        await super().begin(limits)

    async def finish(self) -> None:
        """Everybody is gone; one more dispatcher comes, and brings everything to its end with what is swept."""
        await self.lapse(*self.processes)
        last = Process()
        await self.take_all(last)
        for server, fence in last.leases.items():
            for claim in await service.adopt(self.observer, server, fence):
                await self.end(claim)
        for _ in range(2 * MOST_JOBS):
            await self.ripen()
            await self._sweep()
            if not await self._going_on():
                break
            heads = await heads_of(self.observer)
            for claim in await claims.claim(self.observer, last.me, wishes_of(heads, last.leases, Tape(b""))):
                await self.end(claim)

    async def submit(self, lane: Lane, tape: Tape) -> None:
        """Look at what the key names; later accept."""
        job = self._job(KEYS[tape.choose(2)], -1.0 if tape.choose(8) == 7 else 3600.0, tape.choose(2))
        if len(self.jobs) < MOST_JOBS:
            there = await lane.transaction(lambda tx: _there(tx, self._key(job)))
            [accepted], _ = await lane.transaction(lambda tx: self.results.accept(tx, [job], there))
            self.jobs.append(accepted.id)

    async def settle(self, lane: Lane, _tape: Tape) -> None:
        """A round of the sweep."""

        async def left(tx: Tx) -> list[JobId]:
            leaders = await cached.left(tx)
            await cached.release(tx, leaders)
            return leaders

        for leader in await lane.transaction(left):
            await self._settle(leader, lane.transaction)

    async def fail_and_settle(self, lane: Lane, tape: Tape) -> None:
        await self.fail(lane, tape)
        await self.settle(lane, tape)

    async def succeed_and_settle(self, lane: Lane, tape: Tape) -> None:
        await self.succeed(lane, tape)
        await self.settle(lane, tape)

    async def cancel_and_settle(self, lane: Lane, tape: Tape) -> None:
        await self.cancel(lane, tape)
        await self.settle(lane, tape)

    async def lose_and_expire(self, lane: Lane, tape: Tape) -> None:
        """Who waits for a job that runs does not expire."""
        await self.lose(lane, tape)
        await self.expire(lane, tape)

    async def expire(self, lane: Lane, _tape: Tape) -> None:
        """Of those who wait for another job."""
        await lane.transaction(twins.expire)

    async def _going_on(self) -> bool:
        rows = await self.observer.execute("SELECT 1 FROM jobs WHERE finished_at IS NULL LIMIT 1")
        return await rows.fetchone() is not None

    async def _settle(
        self, leader: JobId, transaction: Callable[[Callable[[Tx], Awaitable[Any]]], Awaitable[Any]]
    ) -> None:
        if leader in await transaction(lambda tx: cached.blobs_of(tx, [leader])):
            await transaction(lambda tx: twins.give(tx, leader, PART))
        await transaction(lambda tx: twins.lead_anew(tx, leader))

    async def _sweep(self) -> None:
        async def transaction(step: Callable[[Tx], Awaitable[Any]]) -> Any:
            async with self.observer.transaction():
                return await step(self.observer)

        for leader in await cached.left(self.observer):
            await self._settle(leader, transaction)

    async def accept(self, queue_ttl: float) -> None:
        job = self._job(KEYS[self._accepted % 2], queue_ttl, 0)
        self._accepted += 1
        async with self.observer.transaction():
            [accepted], _ = await self.results.accept(self.observer, [job], {})
        self.jobs.append(accepted.id)

    async def end(self, claim: Claim) -> None:
        if not await attempts.succeed(self.observer, claim, [made()]):
            await super().end(claim)

    def _job(self, key: bytes, queue_ttl: float, more: int) -> NewJob:
        return new_job(
            account_id=self.account_id,
            requirement_id=self.requirement_id,
            price=10,
            priority=5 + more,
            queue_ttl=queue_ttl,
            recipe=recipe(key),
        )

    def _key(self, job: NewJob) -> bytes:
        [key] = self.results.keys([job]).values()
        return key


async def _there(tx: Tx, key: bytes) -> Mapping[JobId, bool]:
    found = await cached.found(tx, [key])
    ended = [one.job_id for one in found.values() if one.state is JobState.SUCCEEDED]
    whole = await cached.blobs_of(tx, ended)
    return {job_id: job_id in whole for job_id in ended}


class TwinWorld(World):
    def named(self) -> Mapping[str, Act]:
        acts = cast("TwinActs", self.acts)
        return {
            "submit": acts.submit,
            "feed": acts.feed,
            "beat": acts.beat,
            "take over": acts.take_over,
            "running": acts.running,
            "succeed": acts.succeed,
            "fail": acts.fail,
            "lose": acts.lose,
            "withdraw": acts.withdraw,
            "let go": acts.let_go,
            "cancel": acts.cancel,
            "expire": acts.expire,
            "settle": acts.settle,
            "lose and expire": acts.lose_and_expire,
            "fail and settle": acts.fail_and_settle,
            "succeed and settle": acts.succeed_and_settle,
            "cancel and settle": acts.cancel_and_settle,
        }

    async def judge_more(self, observer: Tx) -> None:
        row = await (await observer.execute(_TWINS)).fetchone()
        assert row is not None
        check_twins(json.loads(row[0]))


@contextlib.asynccontextmanager
async def twin_world_on(
    url: str, storage: Storage, broken: Mapping[str, str] | None = None
) -> AsyncGenerator[World]:
    """A world of twins on this database, which it empties first. Nobody asks the storage in it."""
    async with lanes_on(url, broken) as (observer, lanes):
        database = Database(url)
        wakeups = Wakeups(database)
        bounds = service.QueueBounds(100, 100)
        intake = Intake(database, FleetView(database, wakeups), wakeups, bounds, 3600.0, 3600.0)
        acts = TwinActs(observer, await requirement_in(observer))
        acts.results = Results(intake, storage, Policy(part=PART))
        yield TwinWorld(acts, lanes)
