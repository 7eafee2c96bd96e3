"""Progress and previews on their way to whoever looks: last value only, few writes, never in a job's way."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg
import structlog

from atelier.jobs.model import Preview, Progress
from atelier.jobs.store import live
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.ids import JobId
from atelier.kit.wakeups import Wakeups

Living = Callable[[], Iterable[JobId]]
"""The jobs that run here now."""

FLUSH_SECONDS = 0.25
PREVIEW_SECONDS = 0.5
WATCH_REFRESH_SECONDS = 3.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Latest:
    progress: Progress | None = None
    preview: tuple[str, str, bytes] | None = None
    preview_at: float = float("-inf")


class Telemetry:
    """Collects what the sockets say and writes it at most four times a second (previews: twice)."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._latest: dict[JobId, _Latest] = {}
        self._watched: set[JobId] = set()
        self._dirty = asyncio.Event()

    def progress(self, job_id: JobId, progress: Progress) -> None:
        self._latest.setdefault(job_id, _Latest()).progress = progress
        self._dirty.set()

    def preview(self, job_id: JobId, node_id: str, content_type: str, image: bytes) -> None:
        """Keep the newest preview, but only of a job that somebody watches."""
        if job_id in self._watched:
            self._latest.setdefault(job_id, _Latest()).preview = (node_id, content_type, image)
            self._dirty.set()

    def forget(self, job_id: JobId) -> None:
        """The job ended: nothing more is written about it."""
        self._latest.pop(job_id, None)

    async def run(self, living: Living) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flush_forever())
            group.create_task(self._follow_watches(living))

    async def _flush_forever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._flush()
            except (psycopg.Error, OSError) as error:
                _log.info("telemetry.dropped", reason=str(error))
            await asyncio.sleep(FLUSH_SECONDS)

    async def _flush(self) -> None:
        rows = [(job, latest.progress) for job, latest in self._latest.items() if latest.progress]
        previews = list(self._due_previews())
        if not (rows or previews):
            return
        seq = int(clock.utcnow().timestamp() * 1000)
        for job_id, _ in rows:
            self._latest[job_id].progress = None
        async with self._database.transaction() as tx:
            await tx.execute("SET LOCAL synchronous_commit = off")
            if rows:
                await live.save_progress(tx, [(job, seq, progress.as_json()) for job, progress in rows])
            for job_id, (node_id, content_type, image) in previews:
                await live.save_preview(tx, job_id, Preview(seq, node_id, content_type, image))
        for job_id in {job for job, _ in rows} | {job for job, _ in previews}:
            self._wakeups.publish(f"job:{job_id}")

    def _due_previews(self) -> Iterable[tuple[JobId, tuple[str, str, bytes]]]:
        now = clock.monotonic()
        for job_id, latest in self._latest.items():
            if latest.preview is None:
                continue
            if now - latest.preview_at >= PREVIEW_SECONDS:
                latest.preview_at = now
                yield job_id, latest.preview
                latest.preview = None
            else:
                self._dirty.set()

    async def _follow_watches(self, living: Living) -> None:
        with self._wakeups.subscribe("watch") as woken:
            while True:
                await woken.wait(WATCH_REFRESH_SECONDS)
                await self._refresh_watches(list(living()))

    async def _refresh_watches(self, jobs: list[JobId]) -> None:
        if not jobs:
            self._watched = set()
            return
        try:
            async with self._database.autocommit() as connection:
                self._watched = await live.watched(connection, jobs)
        except (psycopg.Error, OSError) as error:
            _log.info("telemetry.watches_unknown", reason=str(error))
