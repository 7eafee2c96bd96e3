"""The tasks of one process: what they are called, how often they are tried, and the worker that runs them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psycopg
import structlog

from atelier.kit.clock import monotonic
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.tasks import store
from atelier.tasks.model import PeriodicTask, Rhythm, Run, Task

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Tasks:
    """Register everything first, then `run` until cancelled. Every task must bear being run twice."""

    database: Database
    wakeups: Wakeups
    rhythm: Rhythm = field(default_factory=Rhythm)
    concurrency: int = 4
    take_over_tries: int = 5
    tasks: list[Task] = field(default_factory=list[Task])
    periodic: list[PeriodicTask] = field(default_factory=list[PeriodicTask])

    def add(self, name: str, run: Run, *, tries: int = 5) -> None:
        """Whatever is deferred as `name` is awaited as `run(**arguments)`; an exception means try again later."""
        self.tasks.append(Task(name, run, tries))

    def every(self, cron: str, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run it at the times of `cron`, once among all workers; after a failure it waits for the next time."""
        self.periodic.append(PeriodicTask(cron, name, run))

    async def run(self) -> None:
        """Work until cancelled. PostgreSQL may go away and come back meanwhile."""
        from atelier.tasks.worker import TaskWorker

        worker = TaskWorker(self.database, self.rhythm, self.concurrency, self.tasks, self.periodic)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run_forever())
            group.create_task(self._hear_wakeups(worker.hint))
            group.create_task(self._take_over_forever(worker.hint))

    async def _hear_wakeups(self, hint: Callable[[], None]) -> None:
        with self.wakeups.subscribe(store.TOPIC) as subscription:
            while True:
                if await subscription.wait(60):
                    hint()

    async def _take_over_forever(self, hint: Callable[[], None]) -> None:
        """After PostgreSQL was away every worker looks silent; those that live get the time to speak first."""
        while True:
            pause = self.rhythm.heartbeat
            try:
                if (await self._take_over()).waiting:
                    hint()
            except (psycopg.Error, OSError) as error:
                _log.info("tasks.take_over_put_off", reason=str(error))
                pause = self.rhythm.stalled
            await asyncio.sleep(pause)

    async def _take_over(self) -> store.TakenOver:
        asked = monotonic()
        async with self.database.transaction() as tx:
            if monotonic() - asked > self.rhythm.heartbeat:
                raise TimeoutError("a connection came so late that nobody could speak before it")
            taken = await store.take_over(tx, silent_for=self.rhythm.stalled, tries=self.take_over_tries)
        if taken.waiting or taken.given_up:
            _log.warning("tasks.taken_over", waiting=taken.waiting, given_up=taken.given_up)
        return taken
