"""A user thinks, asks for a picture, follows it, looks at it, and now and then changes their mind."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tools.bench import graphs
from tools.bench.graphs import Graph
from tools.load.client import Body, Client, Unexpected
from tools.load.plan import Plan
from tools.load.tally import Seen

INSTANT = 0.4
"""Of all jobs; the others take one step."""
CHANGE_OF_MIND = 0.3
"""Seconds, at most, until a job is canceled: some wait then, some run, some have ended."""


@dataclass(slots=True)
class User:
    """One person with one client. `by_events` says how they follow what they asked for."""

    number: int
    plan: Plan
    client: Client
    chance: random.Random
    by_events: bool
    jobs: int = 0

    async def live(self, until: float) -> None:
        """Until that moment of the monotonic clock; what was begun is brought to its end."""
        await asyncio.sleep(self.chance.uniform(0, self.plan.think))
        while time.monotonic() < until:
            count = self.plan.burst if self.chance.random() < self.plan.bursts else 1
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._picture())
            await asyncio.sleep(min(self.chance.expovariate(1 / self.plan.think), 4 * self.plan.think))

    async def _picture(self) -> None:
        self.jobs += 1
        tally, key = self.client.tally, f"load-{self.plan.seed}-{self.number}-{self.jobs}"
        seen = tally.jobs[key] = Seen(key)
        try:
            async with asyncio.timeout(self.plan.patience):
                await self._followed(seen)
        except* TimeoutError:
            tally.wrong.append(f"job {seen.job_id or key}: no end in {self.plan.patience:.0f} s")
        except* (Unexpected, aiohttp.ClientError) as errors:
            tally.wrong += [f"job {seen.job_id or key}: {error}" for error in errors.exceptions]

    async def _followed(self, seen: Seen) -> None:
        graph = graphs.plain() if self.chance.random() < INSTANT else graphs.small()
        change, delay = self.chance.random() < self.plan.canceled, self.chance.uniform(0, CHANGE_OF_MIND)
        began = time.monotonic()
        job = await self.client.submit(graph, seen)
        if job is None:
            return
        async with self._perhaps_canceled(job, seen, delay if change else None):
            follow = self.client.heard if self.by_events else self.client.polled
            job = await follow(job)
        seen.status, seen.seconds = job["status"], time.monotonic() - began
        self.client.tally.followed["by events" if self.by_events else "by polling"] += 1
        await self._looked_at(graph, job, seen)

    @asynccontextmanager
    async def _perhaps_canceled(self, job: Body, seen: Seen, delay: float | None) -> AsyncGenerator[None]:
        """The job is followed meanwhile, as by a person with two windows."""

        async def change_mind(delay: float) -> None:
            await asyncio.sleep(delay)
            seen.cancel_asked = True
            await self.client.cancel(job)

        async with asyncio.TaskGroup() as group:
            if delay is not None:
                group.create_task(change_mind(delay))
            yield

    async def _looked_at(self, graph: Graph, job: Body, seen: Seen) -> None:
        if job["status"] == "succeeded":
            picture = await self.client.download(job["outputs"][0]["url"])
            self.client.tally.downloads += 1
            if len(job["outputs"]) != 1 or not await asyncio.to_thread(graphs.is_right, graph, picture):
                raise Unexpected("the picture is not the one asked for")
        elif not (job["status"] == "canceled" and seen.cancel_asked):
            shown = await self.client.read(job["urls"]["self"])
            raise Unexpected(f"it ended {job['status']}: {shown['error']}")
