"""Procrastinate's worker, made to end only what it holds and to outlive PostgreSQL's absences.

Importing this module imports Procrastinate, so only processes that run tasks do.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn

import psycopg
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate import worker as engine
from procrastinate.exceptions import ConnectorException
from procrastinate.job_context import JobContext, JobResult
from procrastinate.jobs import DeleteJobCondition, Job, Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from psycopg.rows import DictRow, dict_row

from atelier.kit.database import Database
from atelier.tasks import store
from atelier.tasks.model import PeriodicTask, Rhythm, Task

QUERY_SECONDS = 3.0
"""Two of them in a row still let the process stop in time."""
PAUSE_SECONDS = 1.0
FIRST_RETRY_SECONDS = 2
LONGEST_RETRY_SECONDS = 300

AWAY = (ConnectorException, psycopg.Error, OSError)
"""What is raised while PostgreSQL is away (a timeout is an OSError)."""

_log = structlog.get_logger(__name__)


class TaskWorker:
    """Runs one worker after the other: one ends when PostgreSQL went away or when it was taken over."""

    def __init__(
        self,
        database: Database,
        rhythm: Rhythm,
        concurrency: int,
        tasks: Sequence[Task],
        periodic: Sequence[PeriodicTask],
    ) -> None:
        self._database = database
        self._rhythm = rhythm
        self._concurrency = concurrency
        self._app = _app(database, tasks, periodic)
        self._worker = self._new_worker()

    def hint(self) -> None:
        """Something may be waiting: look now instead of at the next poll."""
        self._worker.look_now()

    async def run_forever(self) -> None:
        while True:
            self._worker = self._new_worker()
            try:
                await self._worker.work()
            except AWAY as error:
                _log.info("tasks.worker_ended", reason=str(error.__cause__ or error))
            _stay_cancelled()
            await asyncio.sleep(PAUSE_SECONDS)

    def _new_worker(self) -> "HoldingWorker":
        return HoldingWorker(
            self._app,
            concurrency=self._concurrency,
            fetch_job_polling_interval=self._rhythm.poll,
            shutdown_graceful_timeout=self._rhythm.grace,
            listen_notify=False,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
            install_signal_handlers=False,
            update_heartbeat_interval=self._rhythm.heartbeat,
            stalled_worker_timeout=self._rhythm.stalled,
        )


class HoldingWorker(engine.Worker):
    """Stops when it is not known any more or cannot store a result: then its tasks are taken over."""

    def look_now(self) -> None:
        self._new_job_event.set()

    async def work(self) -> None:
        """Theirs carries no annotations, here and below."""
        run: Callable[[], Awaitable[None]] = self.run
        await run()

    def end(self) -> None:
        stop: Callable[[], None] = self.stop
        stop()

    async def _update_heartbeat(self) -> NoReturn:
        while True:
            await asyncio.sleep(self.update_heartbeat_interval)
            with contextlib.suppress(*AWAY):
                if not await self._held().beat(self.worker_id or 0):
                    _log.warning("tasks.worker_was_taken_over", worker_id=self.worker_id)
                    self.end()

    async def _periodic_deferrer(self) -> None:
        defer_forever: Callable[[], Awaitable[None]] = super()._periodic_deferrer
        while True:
            with contextlib.suppress(*AWAY):
                await defer_forever()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _persist_job_status(
        self,
        job: Job,
        status: Status,
        retry_decision: RetryDecision | None,
        context: JobContext,
        job_result: JobResult | None,
    ) -> None:
        try:
            await super()._persist_job_status(job, status, retry_decision, context, job_result)
        except AWAY as error:
            _log.warning("tasks.result_not_stored", task=job.task_name, reason=str(error.__cause__ or error))
            self.end()

    def _held(self) -> "HeldJobs":
        manager = self.app.job_manager
        if not isinstance(manager, HeldJobs):
            raise TypeError("this worker runs only on HeldJobs")
        return manager


class HeldJobs(JobManager):
    """Ends and retries only by the holder: a worker that was taken over changes nothing."""

    def __init__(self, connector: "SharedConnector", database: Database) -> None:
        super().__init__(connector)
        self._database = database

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """None also while PostgreSQL is away: a worker that lives keeps what it runs and looks again later.

        A connection is tried first, because a fetch that breaks off may have taken a task: that ends the worker.
        """
        try:
            async with asyncio.timeout(QUERY_SECONDS), self._database.autocommit() as tx:
                await tx.execute("SELECT 1")
        except AWAY as error:
            _log.info("tasks.fetch_put_off", reason=str(error) or "PostgreSQL does not answer")
            return None
        return await super().fetch_job(queues, worker_id)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - theirs
        async with asyncio.timeout(QUERY_SECONDS), self._database.autocommit() as tx:
            _note(job, done=await store.end(tx, _claim(job), status.value, delete=delete_job))

    async def retry_job(
        self,
        job: Job,
        retry_at: dt.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        del priority, queue, lock  # our strategy never changes them
        async with asyncio.timeout(QUERY_SECONDS), self._database.autocommit() as tx:
            _note(job, done=await store.try_again(tx, _claim(job), retry_at))

    async def beat(self, worker_id: int) -> bool:
        async with asyncio.timeout(QUERY_SECONDS), self._database.autocommit() as tx:
            return await store.beat(tx, worker_id)


class SharedConnector(PsycopgConnector):
    """Procrastinate on our own pool; none of its statements waits longer than `QUERY_SECONDS`."""

    def __init__(self, database: Database) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # theirs takes a bare Callable
        self._database = database

    @contextlib.asynccontextmanager
    async def _get_cursor(
        self, connection: psycopg.AsyncConnection[Any] | None = None
    ) -> AsyncGenerator[psycopg.AsyncCursor[DictRow]]:
        del connection  # deferring in somebody's transaction is atelier.tasks.defer
        async with (
            asyncio.timeout(QUERY_SECONDS),
            self._database.autocommit() as own,
            own.cursor(row_factory=dict_row) as cursor,
        ):
            yield cursor


class Backoff(BaseRetryStrategy):
    """2, 4, 8 … s up to 5 min between tries; a task that was cancelled with its worker waits for the next one."""

    def __init__(self, tries: int) -> None:
        self._tries = tries

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if not isinstance(exception, Exception):
            return RetryDecision(retry_in={"seconds": 0})
        if job.attempts + 1 >= self._tries:
            return None
        pause = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**job.attempts)
        return RetryDecision(retry_in={"seconds": pause})


def _app(database: Database, tasks: Sequence[Task], periodic: Sequence[PeriodicTask]) -> App:
    connector = SharedConnector(database)
    app = App(connector=connector)
    app.job_manager = HeldJobs(connector, database)
    for task in tasks:
        _register(app, task)
    for periodic_task in periodic:
        _register_periodic(app, periodic_task)
    return app


def _register(app: App, task: Task) -> None:
    @app.task(name=task.name, retry=Backoff(task.tries))
    async def run(**arguments: Any) -> None:
        await task.run(**arguments)


def _register_periodic(app: App, task: PeriodicTask) -> None:
    @app.periodic(cron=task.cron, periodic_id=task.name)
    @app.task(name=task.name, lock=task.name, queueing_lock=task.name, retry=Backoff(1))
    async def run(timestamp: int) -> None:
        del timestamp
        await task.run()


def _claim(job: Job) -> store.Claim:
    return store.Claim(task_id=job.id or 0, worker_id=job.worker_id or 0, attempts=job.attempts)


def _note(job: Job, *, done: bool) -> None:
    if not done:
        _log.warning("tasks.ended_by_another", task=job.task_name, task_id=job.id, worker_id=job.worker_id)


def _stay_cancelled() -> None:
    """A worker that fails while it is being cancelled must not make us forget that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
